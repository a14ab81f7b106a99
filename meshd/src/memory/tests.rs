use std::os::unix::fs::PermissionsExt;

use mesh_core::lease::memory::{Ended, Grant};
use mesh_core::lease::{MAX_LEASE, QUARANTINE};
use mesh_wire::mesh::Family;
use tempfile::TempDir;

use super::*;

const NODE: NodeId = NodeId(7);

/// A host: two directories and a boot.
struct Host {
    run: TempDir,
    state: TempDir,
    owner: Owner,
}

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn key(vrid: u8) -> RouterKey {
    RouterKey { family: Family::Ipv4, vrid, segment: 9 }
}

fn slot(epoch: u64) -> Slot {
    Slot {
        last: Some(Grant { owner: NodeId(2), epoch, seq: 40, expiry: at(90_000) }),
        live: true,
        max_epoch: epoch,
        claimed: epoch + 1,
        reserved: Some((NodeId(3), at(89_000))),
        ended: Some(Ended { node: NodeId(4), epoch: 1, seq: 30 }),
    }
}

fn changes(slots: &[(u8, u64)]) -> Changes {
    Changes { slots: slots.iter().map(|(vrid, epoch)| (key(*vrid), slot(*epoch))).collect(), epoch_ceiling: None }
}

impl Host {
    fn new() -> Host {
        let owner = Owner { node: NODE, cluster: "00ff00ff00ff00ff".to_owned(), boot: "boot-1".to_owned() };
        Host { run: TempDir::new().unwrap(), state: TempDir::new().unwrap(), owner }
    }

    fn start(&self) -> (Memory, VoterStart) {
        Memory::open(&self.owner, self.run.path(), self.state.path(), at(60_000)).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.run.path().join(FILE)
    }

    /// A run that granted under epochs 3 and 4.
    fn granted() -> Host {
        let host = Host::new();
        let (mut memory, _) = host.start();
        memory.remember(&changes(&[(51, 3), (52, 4)])).unwrap();
        host
    }

    /// What the next run starts with has forgotten everything, just now.
    #[track_caller]
    fn has_forgotten(&self) {
        let (_, start) = self.start();
        assert_eq!(start, VoterStart::forgotten(at(60_000)).above(1000, 2000));
    }
}

#[test]
fn a_new_voter_is_not_silent() {
    let host = Host::new();
    let (memory, start) = host.start();
    assert_eq!(start, VoterStart::default().above(0, 1000));
    assert!(memory.is_kept());
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(host.file()), 0o600);
    assert_eq!(mode(host.state.path().join("boot")), 0o600);
}

#[test]
fn a_restart_remembers_everything() {
    let host = Host::new();
    let (mut memory, _) = host.start();
    memory.remember(&changes(&[(51, 3), (52, 4), (53, 5)])).unwrap();
    memory.remember(&changes(&[(52, 6)])).unwrap();
    let bare = Slot { max_epoch: 1, ..Slot::default() };
    memory.remember(&Changes { slots: vec![(key(54), bare)], epoch_ceiling: None }).unwrap();
    drop(memory);
    for _ in 0..2 {
        let (_, mut start) = host.start();
        start.slots.sort_by_key(|(router, _)| *router);
        let expected = vec![(key(51), slot(3)), (key(52), slot(6)), (key(53), slot(5)), (key(54), bare)];
        assert_eq!(start, VoterStart::remembered(expected).above(0, 1000), "however often");
    }
}

/// Otherwise a second restart would find a valid memory with nothing in it.
#[test]
fn silence_is_remembered_too() {
    let host = Host::granted();
    fs::remove_file(host.file()).unwrap();
    host.has_forgotten();
    let (_, start) = Memory::open(&host.owner, host.run.path(), host.state.path(), at(61_000)).unwrap();
    assert_eq!(start.silent_until, at(60_000) + QUARANTINE);
    assert_eq!((start.epoch_floor, start.epoch_ceiling), (1000, 2000));
}

#[test]
fn a_memory_that_is_gone_was_lost() {
    let host = Host::granted();
    fs::remove_file(host.file()).unwrap();
    host.has_forgotten();
}

#[test]
fn a_memory_cut_short_or_longer_is_lost() {
    let host = Host::granted();
    let whole = fs::read(host.file()).unwrap();
    for length in [0, 1, HEADER - 1, HEADER, HEADER + SLOT, whole.len() - 1] {
        assert!(layout::parse(&whole[..length], &host.owner, 1).is_err(), "{length} bytes");
    }
    fs::write(host.file(), &whole[..whole.len() - 1]).unwrap();
    host.has_forgotten();
    let mut longer = whole;
    longer.push(0);
    assert_eq!(layout::parse(&longer, &host.owner, 1), Err(layout::Invalid::Length(layout::LENGTH + 1)));
}

#[test]
fn one_wrong_bit_anywhere_loses_all() {
    let host = Host::granted();
    let mut bytes = fs::read(host.file()).unwrap();
    assert!(layout::parse(&bytes, &host.owner, 1).is_ok());
    // The header, both used slots and some free ones; the last free one, too.
    let near = 0..HEADER + 5 * SLOT;
    for place in near.chain(layout::LENGTH - SLOT..layout::LENGTH) {
        for bit in [0, 3, 7] {
            bytes[place] ^= 1 << bit;
            assert!(layout::parse(&bytes, &host.owner, 1).is_err(), "bit {bit} of byte {place}");
            bytes[place] ^= 1 << bit;
        }
    }
    bytes[HEADER + SLOT + 20] ^= 1;
    fs::write(host.file(), &bytes).unwrap();
    host.has_forgotten();
}

/// The process died in the middle of a write.
#[test]
fn a_torn_slot_loses_all() {
    let host = Host::granted();
    let old = fs::read(host.file()).unwrap();
    let new = layout::slot_bytes(&key(52), &slot(5000));
    let at = HEADER + SLOT;
    for torn in 1..SLOT {
        let mut bytes = old.clone();
        bytes[at..at + torn].copy_from_slice(&new[..torn]);
        let parsed = layout::parse(&bytes, &host.owner, 1);
        let whole = bytes[at..at + SLOT] == new || bytes[at..at + SLOT] == old[at..at + SLOT];
        assert_eq!(parsed.is_ok(), whole, "{torn} bytes were written");
    }
}

#[test]
fn a_router_in_two_slots_is_no_memory() {
    let host = Host::granted();
    let mut bytes = fs::read(host.file()).unwrap();
    let at = HEADER + 2 * SLOT;
    bytes[at..at + SLOT].copy_from_slice(&layout::slot_bytes(&key(51), &slot(9)));
    assert_eq!(layout::parse(&bytes, &host.owner, 1), Err(layout::Invalid::Content(2)));
}

#[test]
fn another_node_s_or_mesh_s_memory_is_none() {
    for change in [|o: &mut Owner| o.node = NodeId(8), |o: &mut Owner| o.cluster = "11".to_owned()] {
        let mut host = Host::granted();
        change(&mut host.owner);
        host.has_forgotten();
    }
}

/// A daemon that ran with another runtime directory since has granted what this file does not hold.
#[test]
fn a_memory_that_is_not_the_last_run_s_is_lost() {
    let host = Host::granted();
    let elsewhere = TempDir::new().unwrap();
    let (_, start) = Memory::open(&host.owner, elsewhere.path(), host.state.path(), at(50_000)).unwrap();
    assert_eq!(start.silent_until, at(50_000) + QUARANTINE, "it cannot know what the first one granted");
    let (_, start) = host.start();
    assert_eq!(start, VoterStart::forgotten(at(60_000)).above(2000, 3000));
}

#[test]
fn after_a_reboot_it_is_silent_for_what_is_left_since_then() {
    for file_left in [false, true] {
        let mut host = Host::granted();
        if !file_left {
            fs::remove_file(host.file()).unwrap();
        }
        host.owner.boot = "boot-2".to_owned();
        let (_, start) = host.start();
        assert_eq!(start, VoterStart::rebooted().above(1000, 2000));
        assert!(start.silent_until <= Instant::default() + MAX_LEASE * 2, "over a minute after the boot");
        let (_, again) = host.start();
        assert_eq!(again, VoterStart::rebooted().above(1000, 2000), "a restart in the new boot");
    }
}

#[test]
fn epochs_go_on_above_every_one_that_may_be_forgotten() {
    let mut host = Host::new();
    let (mut memory, _) = host.start();
    memory.remember(&Changes { epoch_ceiling: Some(5000), ..changes(&[(51, 4321)]) }).unwrap();
    let (_, start) = host.start();
    assert_eq!((start.epoch_floor, start.epoch_ceiling), (0, 5000), "remembered: nothing is forgotten");
    host.owner.boot = "boot-2".to_owned();
    let (_, start) = host.start();
    assert_eq!((start.epoch_floor, start.epoch_ceiling), (5000, 6000));
}

#[test]
fn a_damaged_marker_is_no_new_voter() {
    let host = Host::granted();
    fs::write(host.state.path().join("boot"), "{\"boot_id\": ").unwrap();
    let (_, start) = host.start();
    assert_eq!(start.silent_until, at(60_000) + QUARANTINE);
}

#[test]
fn a_memory_without_its_marker_is_not_believed() {
    let host = Host::granted();
    fs::remove_file(host.state.path().join("boot")).unwrap();
    let (_, start) = host.start();
    assert_eq!(start.silent_until, at(60_000) + QUARANTINE);
}

#[test]
fn without_a_runtime_directory_it_votes_and_forgets() {
    let host = Host::new();
    let nowhere = host.run.path().join("missing");
    let open = |now| Memory::open(&host.owner, &nowhere, host.state.path(), now).unwrap();
    let (mut memory, start) = open(at(60_000));
    assert_eq!(start.silent_until, Instant::default());
    assert!(!memory.is_kept());
    memory.remember(&changes(&[(51, 3)])).unwrap();
    drop(memory);
    let (_, start) = open(at(70_000));
    assert_eq!(start.silent_until, at(70_000) + QUARANTINE);
}

/// The disk is full, say: here, the file is only open for reading.
#[test]
fn what_cannot_be_written_is_made_void() {
    let host = Host::granted();
    let (mut memory, _) = host.start();
    memory.file = Some(File::open(host.file()).unwrap());
    memory.remember(&changes(&[(51, 9)])).unwrap();
    assert!(!memory.is_kept());
    assert!(!host.file().exists());
    memory.remember(&changes(&[(51, 10)])).unwrap();
    drop(memory);
    host.has_forgotten();
}

#[test]
fn what_can_be_neither_written_nor_made_void_is_a_failure() {
    let host = Host::granted();
    let (mut memory, _) = host.start();
    memory.file = Some(File::open(host.file()).unwrap());
    // A directory that is not empty is in the file's place.
    fs::remove_file(host.file()).unwrap();
    fs::create_dir_all(host.file().join("in the way")).unwrap();
    assert!(memory.remember(&changes(&[(51, 9)])).is_err());
    assert!(memory.is_kept(), "the next try may succeed");
    assert!(memory.remember(&changes(&[(51, 9)])).is_err(), "and if not, fails again");
}

#[test]
fn as_many_routers_as_a_voter_has_room_for() {
    let host = Host::new();
    let (mut memory, _) = host.start();
    let most = mesh_core::lease::voter::MAX_ROUTERS as u32;
    let routers = |n: std::ops::Range<u32>| {
        let slots = n.map(|segment| (RouterKey { segment, ..key(51) }, slot(3))).collect();
        Changes { slots, epoch_ceiling: None }
    };
    memory.remember(&routers(0..most)).unwrap();
    assert!(memory.is_kept());
    drop(memory);
    let (mut memory, start) = host.start();
    assert_eq!(start.slots.len(), most as usize);
    memory.remember(&routers(most..most + 1)).unwrap();
    assert!(!memory.is_kept(), "the core never asks for more");
    let silent = Memory::open(&host.owner, host.run.path(), host.state.path(), at(70_000)).unwrap().1.silent_until;
    assert_eq!(silent, at(70_000) + QUARANTINE);
}

#[test]
fn room_for_all_of_it_is_taken_at_the_start() {
    use std::os::unix::fs::MetadataExt;
    let host = Host::new();
    let _memory = host.start();
    let found = fs::metadata(host.file()).unwrap();
    assert!(found.blocks() * 512 >= layout::LENGTH as u64, "{} blocks", found.blocks());
}
