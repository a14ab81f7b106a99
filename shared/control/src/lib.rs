//! What meshctl and meshd say to each other: JSON over HTTP/1.1 on a unix socket.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | [`Status`] |
//! | `GET /status/watch` | server-sent events, one [`Status`] as JSON in each `data:` |
//! | `GET /events?since=S&limit=N` | [`story::Events`] of all nodes, those of the last S seconds, N at most |
//! | `GET /events/follow?since=S` | server-sent events, one [`story::Event`] in each `data:`, for as long as one reads |
//! | `GET /traces?id=ID&router=NAME_OR_VIP` | [`story::Trace`]: the one of this id (its first digits do), else the latest |
//! | `GET /explain?router=NAME_OR_VIP` | [`story::Explanation`] |
//! | `GET /metrics` | the same in figures, as OpenMetrics text, for Prometheus |
//! | `POST /tokens` with [`TokenRequest`] | [`TokenReply`] |
//! | `POST /stop` with [`StopRequest`] | [`StopReply`]; the daemon stops |
//! | `POST /upgrade` | [`StopReply`]; the guard starts the program on disk in the daemon's place |
//! | `POST /reload` | [`ReloadReply`], once the configuration on disk is in use |
//! | `GET /tokens` | a list of [`TokenInfo`] |
//! | `POST /tokens/revoke` with [`TokenRevocation`] | [`RosterChanged`] |
//! | `POST /voters/add`, `/voters/remove` with [`NodeRequest`] | [`RosterChanged`] |
//! | `POST /nodes/remove` with [`NodeRemoval`] | [`RosterChanged`] |
//! | `POST /moves` with [`MoveRequest`], `/moves/back` with [`BackRequest`] | [`Ordered`] |
//! | `POST /nodes/drain`, `/nodes/undrain` with [`NodeRequest`] | [`Ordered`], at once; [`Status`] shows how far it is |
//! | `POST /plan` with [`PlanRequest`] | [`Plan`] |
//! | anything refused | HTTP status 4xx or 5xx and a [`Refusal`] |
//!
//! Fields may be added, never renamed or removed; readers ignore what they do not know.

pub mod drift;
mod orders;
mod status;
pub mod story;

pub use orders::*;
pub use status::*;

/// Default place of the socket.
pub const DEFAULT_SOCKET: &str = "/run/meshd/meshd.sock";
