//! Salesforce as Patchbay speaks to it.
