//! Zoho CRM as Patchbay speaks to it.
