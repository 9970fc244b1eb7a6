//! A strict stand-in for Salesforce.
