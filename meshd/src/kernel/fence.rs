//! Fence.
