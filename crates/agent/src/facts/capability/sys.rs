//! The system calls of the trials that no crate in the tree wraps.
#![expect(unsafe_code, reason = "system calls without a wrapper; this module exists for them")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// Bytes of `struct dm_ioctl` (linux/dm-ioctl.h), after which an answer begins.
const DM_HEADER: usize = 312;
/// Bytes for a question and its answer: some hundred targets.
const DM_BYTES: usize = 16 << 10;
/// `_IOWR(0xfd, 13, struct dm_ioctl)`: lists the targets that are there and loads none.
const DM_LIST_VERSIONS: u64 = (3 << 30) | ((DM_HEADER as u64) << 16) | (0xfd << 8) | 13;

/// The part of `union bpf_attr` (linux/bpf.h) that loading a program needs; the kernel takes the rest for zero.
#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
}

/// The descriptor or number that a call returned, or its error.
fn checked(returned: libc::c_long) -> io::Result<i32> {
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(returned).map_err(io::Error::other)
}

/// Loads a BPF program that does nothing, and drops it.
pub(super) fn bpf_load() -> io::Result<()> {
    const BPF_PROG_LOAD: libc::c_int = 5;
    const BPF_PROG_TYPE_SOCKET_FILTER: u32 = 1;
    // r0 = 0; exit
    let program: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let license = c"GPL";
    let attributes = ProgLoad {
        prog_type: BPF_PROG_TYPE_SOCKET_FILTER,
        insn_cnt: 2,
        insns: program.as_ptr().expose_provenance() as u64,
        license: license.as_ptr().expose_provenance() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
    };
    // SAFETY: the kernel reads `attributes`, whose size is given, and through it the program and the licence; all three
    // live until the call returns, and the kernel keeps no pointer.
    let returned =
        unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const attributes, size_of::<ProgLoad>()) };
    own(checked(returned)?);
    Ok(())
}

/// The version of Landlock.
pub(super) fn landlock_version() -> io::Result<u32> {
    const LANDLOCK_CREATE_RULESET_VERSION: libc::c_uint = 1;
    // SAFETY: with this flag the call takes no pointer (null, of size 0) and returns a number.
    let returned = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<libc::c_void>(),
            0usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    };
    u32::try_from(checked(returned)?).map_err(io::Error::other)
}

/// Puts a filter that allows everything on the calling thread, with or without a descriptor for another program's
/// decisions. The thread keeps the filter and can gain no privileges by executing programs any more.
pub(super) fn seccomp_allow_all(listener: bool) -> io::Result<()> {
    let mut instruction = libc::sock_filter {
        // BPF_RET | BPF_K
        code: 6,
        jt: 0,
        jf: 0,
        k: libc::SECCOMP_RET_ALLOW,
    };
    let program = libc::sock_fprog { len: 1, filter: &raw mut instruction };
    let flags = if listener { libc::SECCOMP_FILTER_FLAG_NEW_LISTENER } else { 0 };
    // SAFETY: takes numbers only; unused arguments must be zero.
    let held = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    checked(held.into())?;
    // SAFETY: the kernel copies the program and its one instruction, which both live until the call returns.
    let returned =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    let returned = checked(returned)?;
    if listener {
        own(returned);
    }
    Ok(())
}

/// Device mapper's list of targets, in the kernel's layout.
pub(super) fn dm_targets(control: &File) -> io::Result<Vec<u8>> {
    // Words, so that the kernel's structure is aligned.
    let mut words = vec![0u64; DM_BYTES / 8];
    let bytes = bytes_mut(&mut words);
    let size = u32::try_from(DM_BYTES).map_err(io::Error::other)?;
    let start = u32::try_from(DM_HEADER).map_err(io::Error::other)?;
    // version 4.0.0, data_size, data_start
    for (at, value) in [(0, 4), (12, size), (16, start)] {
        bytes[at..at + 4].copy_from_slice(&u32::to_ne_bytes(value));
    }
    // SAFETY: the kernel reads and writes at most `data_size` bytes at the pointer, which is the size of `bytes`.
    let returned =
        unsafe { libc::ioctl(control.as_raw_fd(), DM_LIST_VERSIONS as libc::Ioctl, bytes.as_mut_ptr()) };
    checked(returned.into())?;
    let word = |at: usize| bytes[at..at + 4].try_into().map_or(0, u32::from_ne_bytes);
    let (size, start) = (word(12) as usize, word(16) as usize);
    Ok(bytes.get(start..size).unwrap_or_default().to_vec())
}

fn bytes_mut(words: &mut [u64]) -> &mut [u8] {
    let len = size_of_val(words);
    // SAFETY: any byte pattern is a valid u64 and a valid u8, the length is that of the same memory, and the borrow of
    // `words` lasts as long as the result.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), len) }
}

/// Takes a descriptor that a call has just returned, and closes it.
fn own(descriptor: i32) {
    // SAFETY: the kernel has just made this descriptor for us, and nothing else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
}
