//! What keepalived makes of a configuration, and meshd of the same one.

use anyhow::Result;
use mesh_ipvs::inside;
use mesh_ipvs::keepalived::{keepalived_programs, meshd_programs};

/// A service of each kind, without checkers: every real server is up.
const EVERY_KIND: &str = "
global_defs { router_id reference }
virtual_server_group web {
    10.0.0.81 80
    10.0.0.82-83 80
    fwmark 9
}
virtual_server 10.0.0.80 80 {
    delay_loop 6
    lb_algo wrr
    lb_kind NAT
    persistence_timeout 50
    persistence_granularity 255.255.255.0
    protocol TCP
    real_server 10.1.0.11 8080 { weight 3 uthreshold 20 lthreshold 10 }
    real_server 10.1.0.12 8080 { weight 0 }
}
virtual_server 10.0.0.80 53 {
    lvs_sched sh
    sh-port
    sh-fallback
    lvs_method DR
    ops
    protocol UDP
    real_server 10.0.0.11 53 { }
}
virtual_server 10.0.0.80 5000 {
    lvs_sched mh
    mh-fallback
    lvs_method TUN type gue port 6080 csum
    protocol TCP
    real_server 10.0.0.11 5000 { }
    real_server 10.0.0.12 5000 { lvs_method DR }
}
virtual_server fd00::80 443 {
    lvs_sched wlc
    lvs_method TUN
    protocol TCP
    persistence_timeout 3600
    real_server fd00::11 443 { weight 5 }
}
virtual_server fwmark 7 {
    lvs_sched rr
    lvs_method DR
    real_server 10.0.0.11 0 { }
}
virtual_server group web {
    lvs_sched lc
    lvs_method DR
    protocol TCP
    sorry_server 10.0.0.99 80
    real_server 10.0.0.11 80 { }
}
";

/// What keepalived 2.2.7 makes of it.
const PROGRAMMED: &str = "\
-A -f 7 -s rr
-A -f 9 -s lc
-A -t 10.0.0.80:5000 -s mh -b mh-fallback
-A -t 10.0.0.80:80 -s wrr -p 50 -M 255.255.255.0
-A -t 10.0.0.81:80 -s lc
-A -t 10.0.0.82:80 -s lc
-A -t 10.0.0.83:80 -s lc
-A -t [fd00::80]:443 -s wlc -p 3600
-A -u 10.0.0.80:53 -s sh -o -b sh-fallback,sh-port
-a -f 7 -r 10.0.0.11:0 -g -w 1
-a -f 9 -r 10.0.0.11:0 -g -w 1
-a -t 10.0.0.80:5000 -r 10.0.0.11:5000 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
-a -t 10.0.0.80:5000 -r 10.0.0.12:5000 -g -w 1
-a -t 10.0.0.80:80 -r 10.1.0.11:8080 -m -w 3
-a -t 10.0.0.80:80 -r 10.1.0.12:8080 -m -w 0
-a -t 10.0.0.81:80 -r 10.0.0.11:80 -g -w 1
-a -t 10.0.0.82:80 -r 10.0.0.11:80 -g -w 1
-a -t 10.0.0.83:80 -r 10.0.0.11:80 -g -w 1
-a -t [fd00::80]:443 -r [fd00::11]:443 -i -w 5 --tun-type ipip
-a -u 10.0.0.80:53 -r 10.0.0.11:53 -g -w 1";

#[test]
fn root_keepalived_programs_a_service_of_each_kind() -> Result<()> {
    inside(|| {
        assert_eq!(keepalived_programs(EVERY_KIND)?.join("\n"), PROGRAMMED);
        Ok(())
    })
}

#[test]
fn root_meshd_programs_the_same() -> Result<()> {
    inside(|| {
        assert_eq!(meshd_programs(EVERY_KIND)?.join("\n"), PROGRAMMED);
        Ok(())
    })
}
