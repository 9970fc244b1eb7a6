//! LeadSquared as Patchbay speaks to it.
