//! Links and addresses.
