//! What several integrations on one account owe beside the table.
