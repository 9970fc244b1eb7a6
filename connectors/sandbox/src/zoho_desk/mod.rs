//! A strict stand-in for Zoho Desk.
