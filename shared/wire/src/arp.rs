//! Gratuitous ARP (RFC 5227 section 3, RFC 9568 section 8.1.2).
