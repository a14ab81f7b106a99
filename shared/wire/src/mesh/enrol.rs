//! Enrolment: how a machine without an identity becomes a member.
