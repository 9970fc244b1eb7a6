//! HubSpot as Patchbay speaks to it.
