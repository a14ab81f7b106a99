//! VRRP advertisements.
