//! A strict stand-in for Zoho CRM.
