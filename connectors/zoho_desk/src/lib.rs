//! Zoho Desk as Patchbay speaks to it.
