//! The numbers of linux/ip_vs.h and linux/genetlink.h. Each module is an enumeration there.

/// IPVS_GENL_NAME.
pub(super) const FAMILY: &str = "IPVS";
/// IPVS_GENL_VERSION.
pub(super) const VERSION: u8 = 1;
/// IP_VS_SCHEDNAME_MAXLEN, IP_VS_PENAME_MAXLEN and IP_VS_IFNAME_MAXLEN, without the terminating zero.
pub(super) const NAME_MAX: usize = 15;

/// IPVS_CMD_*.
pub(super) mod command {
    pub(in super::super) const NEW_SERVICE: u8 = 1;
    pub(in super::super) const SET_SERVICE: u8 = 2;
    pub(in super::super) const DEL_SERVICE: u8 = 3;
    pub(in super::super) const GET_SERVICE: u8 = 4;
    pub(in super::super) const NEW_DEST: u8 = 5;
    pub(in super::super) const SET_DEST: u8 = 6;
    pub(in super::super) const DEL_DEST: u8 = 7;
    pub(in super::super) const GET_DEST: u8 = 8;
    pub(in super::super) const NEW_DAEMON: u8 = 9;
    pub(in super::super) const DEL_DAEMON: u8 = 10;
    pub(in super::super) const GET_DAEMON: u8 = 11;
    pub(in super::super) const SET_CONFIG: u8 = 12;
    pub(in super::super) const GET_CONFIG: u8 = 13;
    pub(in super::super) const GET_INFO: u8 = 15;
}

/// IPVS_CMD_ATTR_*.
pub(super) mod top {
    pub(in super::super) const SERVICE: u16 = 1;
    pub(in super::super) const DEST: u16 = 2;
    pub(in super::super) const DAEMON: u16 = 3;
    pub(in super::super) const TIMEOUT_TCP: u16 = 4;
    pub(in super::super) const TIMEOUT_TCP_FIN: u16 = 5;
    pub(in super::super) const TIMEOUT_UDP: u16 = 6;
}

/// IPVS_SVC_ATTR_*.
pub(super) mod service {
    pub(in super::super) const AF: u16 = 1;
    pub(in super::super) const PROTOCOL: u16 = 2;
    pub(in super::super) const ADDR: u16 = 3;
    pub(in super::super) const PORT: u16 = 4;
    pub(in super::super) const FWMARK: u16 = 5;
    pub(in super::super) const SCHED_NAME: u16 = 6;
    pub(in super::super) const FLAGS: u16 = 7;
    pub(in super::super) const TIMEOUT: u16 = 8;
    pub(in super::super) const NETMASK: u16 = 9;
    pub(in super::super) const STATS: u16 = 10;
    pub(in super::super) const PE_NAME: u16 = 11;
    pub(in super::super) const STATS64: u16 = 12;
}

/// IP_VS_SVC_F_*.
pub(super) mod flag {
    pub(in super::super) const PERSISTENT: u32 = 0x1;
    pub(in super::super) const ONE_PACKET: u32 = 0x4;
    pub(in super::super) const SCHED1: u32 = 0x8;
    pub(in super::super) const SCHED2: u32 = 0x10;
    pub(in super::super) const SCHED3: u32 = 0x20;
}

/// IPVS_DEST_ATTR_*.
pub(super) mod destination {
    pub(in super::super) const ADDR: u16 = 1;
    pub(in super::super) const PORT: u16 = 2;
    pub(in super::super) const FWD_METHOD: u16 = 3;
    pub(in super::super) const WEIGHT: u16 = 4;
    pub(in super::super) const U_THRESH: u16 = 5;
    pub(in super::super) const L_THRESH: u16 = 6;
    pub(in super::super) const ACTIVE_CONNS: u16 = 7;
    pub(in super::super) const INACT_CONNS: u16 = 8;
    pub(in super::super) const PERSIST_CONNS: u16 = 9;
    pub(in super::super) const STATS: u16 = 10;
    pub(in super::super) const ADDR_FAMILY: u16 = 11;
    pub(in super::super) const STATS64: u16 = 12;
    pub(in super::super) const TUN_TYPE: u16 = 13;
    pub(in super::super) const TUN_PORT: u16 = 14;
    pub(in super::super) const TUN_FLAGS: u16 = 15;
}

/// IP_VS_CONN_F_*: how a destination is reached.
pub(super) mod method {
    pub(in super::super) const MASK: u32 = 0x7;
    pub(in super::super) const MASQ: u8 = 0;
    pub(in super::super) const TUNNEL: u8 = 2;
    pub(in super::super) const DROUTE: u8 = 3;
}

/// IP_VS_CONN_F_TUNNEL_TYPE_* and IP_VS_TUNNEL_ENCAP_FLAG_*.
pub(super) mod tunnel {
    pub(in super::super) const IPIP: u8 = 0;
    pub(in super::super) const GUE: u8 = 1;
    pub(in super::super) const GRE: u8 = 2;
    pub(in super::super) const CSUM: u16 = 1;
    pub(in super::super) const REMCSUM: u16 = 2;
}

/// IPVS_DAEMON_ATTR_*.
pub(super) mod daemon {
    pub(in super::super) const STATE: u16 = 1;
    pub(in super::super) const MCAST_IFN: u16 = 2;
    pub(in super::super) const SYNC_ID: u16 = 3;
    pub(in super::super) const SYNC_MAXLEN: u16 = 4;
    pub(in super::super) const MCAST_GROUP: u16 = 5;
    pub(in super::super) const MCAST_GROUP6: u16 = 6;
    pub(in super::super) const MCAST_PORT: u16 = 7;
    pub(in super::super) const MCAST_TTL: u16 = 8;
}

/// IP_VS_STATE_*.
pub(super) mod state {
    pub(in super::super) const MASTER: u32 = 1;
    pub(in super::super) const BACKUP: u32 = 2;
}

/// IPVS_STATS_ATTR_*.
pub(super) mod stats {
    pub(in super::super) const CONNS: u16 = 1;
    pub(in super::super) const INPKTS: u16 = 2;
    pub(in super::super) const OUTPKTS: u16 = 3;
    pub(in super::super) const INBYTES: u16 = 4;
    pub(in super::super) const OUTBYTES: u16 = 5;
    pub(in super::super) const CPS: u16 = 6;
    pub(in super::super) const INPPS: u16 = 7;
    pub(in super::super) const OUTPPS: u16 = 8;
    pub(in super::super) const INBPS: u16 = 9;
    pub(in super::super) const OUTBPS: u16 = 10;
}

/// IPVS_INFO_ATTR_*.
pub(super) mod info {
    pub(in super::super) const VERSION: u16 = 1;
    pub(in super::super) const CONN_TAB_SIZE: u16 = 2;
}

/// GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_*: where a family's number is asked for.
pub(super) mod control {
    pub(in super::super) const FAMILY: u16 = 0x10;
    pub(in super::super) const GETFAMILY: u8 = 3;
    pub(in super::super) const FAMILY_ID: u16 = 1;
    pub(in super::super) const FAMILY_NAME: u16 = 2;
}
