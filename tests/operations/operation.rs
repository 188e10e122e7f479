// SPDX-License-Identifier: GPL-2.0 OR MIT

//! What can be done to the backends, and how chance makes it.

use adler32::uapi;
use adler32::uapi::State;
use fastrand::Rng;
use libc::c_int;

use adler32_tests::memory::FOREIGN_ADDRESSES;

/// Which of the things that there are is meant: this number, modulo how many there are.
pub type Pick = u8;

/// Something done to the backends. What the model has nothing for, such as a write without an open
/// file, is left out.
#[derive(Clone, Debug)]
pub enum Operation {
    SwitchUser {
        user: Pick,
    },
    Open {
        flags: c_int,
    },
    Dup {
        file: Pick,
    },
    SetFlags {
        file: Pick,
        flags: c_int,
    },
    Close {
        file: Pick,
    },
    Write {
        file: Pick,
        data: Span,
    },
    PositionedWrite {
        file: Pick,
        data: Span,
        offset: i64,
    },
    VectoredWrite {
        file: Pick,
        pieces: Vec<Span>,
    },
    Read {
        file: Pick,
        room: Room,
    },
    PositionedRead {
        file: Pick,
        room: Room,
        offset: i64,
    },
    VectoredRead {
        file: Pick,
        pieces: Vec<usize>,
    },
    Seek {
        file: Pick,
        offset: i64,
        whence: c_int,
    },
    SendFile {
        file: Pick,
        offset: usize,
        count: usize,
    },
    Splice {
        file: Pick,
        pipe: Pipe,
        count: usize,
    },
    SpliceOut {
        file: Pick,
        count: usize,
        by_sendfile: bool,
    },
    Reset {
        file: Pick,
        argument: u64,
    },
    Get {
        file: Pick,
        place: Place,
    },
    Set {
        file: Pick,
        place: Place,
        state: State,
    },
    Combine {
        file: Pick,
        place: Place,
        part: State,
    },
    Update {
        file: Pick,
        place: Place,
        data: Span,
    },
    Digest {
        file: Pick,
        place: Place,
        data: Span,
        start: u32,
        reserved: u32,
    },
    Info {
        file: Pick,
        place: Place,
    },
    UnknownIoctl {
        file: Pick,
        request: u32,
        place: Place,
    },
    Unsupported {
        file: Pick,
        call: Unsupported,
    },
    FdInfo {
        file: Pick,
    },
    Poll {
        file: Pick,
    },
    /// A child uses a file, perhaps as the last that has it.
    Inherit {
        file: Pick,
        data: Span,
        alone: bool,
    },
    /// A child is killed while it writes, or updates.
    Kill {
        file: Pick,
        by_ioctl: bool,
        alone: bool,
        microseconds: u64,
    },
    /// Threads share a file.
    Crowd {
        threads: u8,
        calls: u8,
        seed: u64,
    },
    Bind {
        by_driver: bool,
    },
    SetKey {
        hash: Pick,
        key: Vec<u8>,
    },
    Accept {
        hash: Pick,
    },
    AcceptClone {
        message: Pick,
    },
    CloseHash {
        hash: Pick,
    },
    CloseMessage {
        message: Pick,
    },
    Send {
        message: Pick,
        data: Span,
        more: bool,
    },
    SendVectored {
        message: Pick,
        pieces: Vec<Span>,
    },
    SendFileToMessage {
        message: Pick,
        offset: usize,
        count: usize,
    },
    SpliceToMessage {
        message: Pick,
        pipe: Pipe,
        count: usize,
        more: bool,
    },
    Receive {
        message: Pick,
        room: Room,
    },
    Load,
    Unload {
        close_first: bool,
    },
}

/// Data to pass: from which memory, and how much of it is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Span {
    /// Memory that only this process has.
    Own { offset: usize, len: usize },
    /// Memory shared with the parent until one of them writes.
    Inherited { offset: usize, len: usize },
    /// `there` bytes of memory and then a hole.
    Edge { there: usize, len: u64 },
    /// No memory of a process at all.
    Foreign { address: u64, len: u64 },
}

/// Where to put what is read.
#[derive(Clone, Copy, Debug)]
pub enum Room {
    There { len: usize },
    Edge { there: usize, len: usize },
    Foreign { address: u64, len: usize },
}

/// Where the structure of an ioctl is.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    There,
    /// So many of its bytes, and then a hole.
    Edge {
        there: usize,
    },
    Foreign {
        address: u64,
    },
}

/// How a pipe gets its content, which are the first `len` bytes of own memory from `offset` on.
#[derive(Clone, Copy, Debug)]
pub struct Pipe {
    pub filled_by: Fill,
    pub offset: usize,
    pub len: usize,
}

#[derive(Clone, Copy, Debug)]
pub enum Fill {
    Write,
    Vmsplice,
    Tee,
}

#[derive(Clone, Copy, Debug)]
pub enum Unsupported {
    Sync,
    Truncate,
    Map,
    Epoll,
}

/// How much memory of each kind there is.
pub const MEMORY: usize = 512 << 10;
/// How much memory there is before the hole.
pub const EDGE: usize = 64 << 10;

impl Operation {
    /// Makes any operation.
    pub fn random(rng: &mut Rng) -> Self {
        let file = rng.u8(..);
        let message = file;
        let hash = file;
        match rng.u32(..1000) {
            0..30 => Self::SwitchUser { user: file },
            30..130 => Self::Open { flags: flags(rng) },
            130..150 => Self::Dup { file },
            150..160 => Self::SetFlags {
                file,
                flags: [0, libc::O_APPEND, libc::O_NONBLOCK, libc::O_DIRECT][rng.usize(..4)],
            },
            160..260 => Self::Close { file },
            260..350 => Self::Write {
                file,
                data: span(rng),
            },
            350..380 => Self::PositionedWrite {
                file,
                data: span(rng),
                offset: offset(rng),
            },
            380..420 => Self::VectoredWrite {
                file,
                pieces: pieces(rng),
            },
            420..490 => Self::Read {
                file,
                room: room(rng, 24),
            },
            490..510 => Self::PositionedRead {
                file,
                room: room(rng, 24),
                offset: offset(rng),
            },
            510..525 => Self::VectoredRead {
                file,
                pieces: (0..rng.usize(..5)).map(|_| rng.usize(..6)).collect(),
            },
            525..545 => Self::Seek {
                file,
                offset: offset(rng),
                whence: rng.i32(-1..6),
            },
            545..560 => Self::SendFile {
                file,
                offset: rng.usize(..=MEMORY),
                count: len(rng),
            },
            560..575 => Self::Splice {
                file,
                pipe: pipe(rng),
                count: 1 + len(rng),
            },
            575..590 => Self::SpliceOut {
                file,
                count: 1 + rng.usize(..20),
                by_sendfile: rng.bool(),
            },
            590..600 => Self::Reset {
                file,
                argument: rng.u64(..),
            },
            600..640 => Self::Get {
                file,
                place: place(rng),
            },
            640..660 => Self::Set {
                file,
                place: place(rng),
                state: state(rng),
            },
            660..680 => Self::Combine {
                file,
                place: place(rng),
                part: state(rng),
            },
            680..720 => Self::Update {
                file,
                place: place(rng),
                data: span(rng),
            },
            720..745 => Self::Digest {
                file,
                place: place(rng),
                data: span(rng),
                start: value(rng),
                reserved: reserved(rng),
            },
            745..750 => Self::Info {
                file,
                place: place(rng),
            },
            750..760 => Self::UnknownIoctl {
                file,
                request: unknown_request(rng),
                place: place(rng),
            },
            760..770 => Self::Unsupported {
                file,
                call: [
                    Unsupported::Sync,
                    Unsupported::Truncate,
                    Unsupported::Map,
                    Unsupported::Epoll,
                ][rng.usize(..4)],
            },
            770..777 => Self::FdInfo { file },
            777..780 => Self::Poll { file },
            780..786 => Self::Inherit {
                file,
                data: span(rng),
                alone: rng.bool(),
            },
            786..790 => Self::Kill {
                file,
                by_ioctl: rng.bool(),
                alone: rng.bool(),
                microseconds: rng.u64(..2000),
            },
            790..793 => Self::Crowd {
                threads: rng.u8(2..5),
                calls: rng.u8(1..10),
                seed: rng.u64(..),
            },
            793..813 => Self::Bind {
                by_driver: rng.bool(),
            },
            813..825 => Self::SetKey {
                hash,
                key: key(rng),
            },
            825..855 => Self::Accept { hash },
            855..875 => Self::AcceptClone { message },
            875..890 => Self::CloseHash { hash },
            890..910 => Self::CloseMessage { message },
            910..945 => Self::Send {
                message,
                data: span(rng),
                more: rng.bool(),
            },
            945..955 => Self::SendVectored {
                message,
                pieces: pieces(rng),
            },
            955..965 => Self::SendFileToMessage {
                message,
                offset: rng.usize(..=MEMORY),
                count: len(rng),
            },
            965..975 => Self::SpliceToMessage {
                message,
                pipe: pipe(rng),
                count: 1 + len(rng),
                more: rng.bool(),
            },
            975..992 => Self::Receive {
                message,
                room: room(rng, 8),
            },
            992..996 => Self::Load,
            _ => Self::Unload {
                close_first: rng.bool(),
            },
        }
    }

    /// The name of its kind.
    pub fn kind(&self) -> String {
        let text = format!("{self:?}");
        let end = text.find([' ', '(']).unwrap_or(text.len());
        text[..end].to_owned()
    }
}

fn flags(rng: &mut Rng) -> c_int {
    let access = [
        libc::O_RDONLY,
        libc::O_WRONLY,
        libc::O_WRONLY | libc::O_APPEND,
        libc::O_RDWR,
        libc::O_ACCMODE,
    ];
    let mut flags = access[rng.usize(..access.len())];
    for (flag, of) in [
        (libc::O_APPEND, 10),
        (libc::O_TRUNC, 4),
        (libc::O_NONBLOCK, 4),
        (libc::O_DIRECT, 30),
    ] {
        if rng.u32(..of) == 0 {
            flags |= flag;
        }
    }
    flags
}

/// A length about which something may change, or any; mostly short.
fn len(rng: &mut Rng) -> usize {
    match rng.u32(..100) {
        0..5 => 0,
        5..60 => rng.usize(1..300),
        60..75 => {
            let edges = [256, 2048, 4096, 5552, 8192, 16_384, 32_768, 65_536, 262_144];
            // The lowest more often, as they cost less.
            let edge = edges[rng.usize(..edges.len()).min(rng.usize(..edges.len()))];
            edge + rng.usize(..3) - 1
        }
        75..96 => rng.usize(..10_000),
        96..99 => rng.usize(..100_000),
        _ => rng.usize(..MEMORY),
    }
}

/// More than there is.
fn excessive(rng: &mut Rng) -> u64 {
    let lengths = [
        1 << 17,
        1 << 20,
        0x7fff_f000,
        1 << 32,
        1 << 40,
        i64::MAX as u64,
        1 << 63,
        u64::MAX - 4095,
        u64::MAX,
    ];
    lengths[rng.usize(..lengths.len())]
}

fn foreign(rng: &mut Rng) -> u64 {
    match rng.usize(..=FOREIGN_ADDRESSES.len()) {
        0 => 0,
        number => FOREIGN_ADDRESSES[number - 1],
    }
}

fn span(rng: &mut Rng) -> Span {
    let kind = rng.u32(..20);
    let len = len(rng);
    let offset = rng.usize(..=MEMORY - len);
    match kind {
        0..12 => Span::Own { offset, len },
        12..16 => Span::Inherited { offset, len },
        16..19 => {
            let there = [0, 1, 255, 4096, EDGE, len.min(EDGE)][rng.usize(..6)];
            let len = match rng.u32(..4) {
                0 => excessive(rng),
                _ => len as u64,
            };
            Span::Edge { there, len }
        }
        _ => {
            let len = match rng.u32(..4) {
                0 => excessive(rng),
                _ => len as u64,
            };
            Span::Foreign {
                address: foreign(rng),
                len,
            }
        }
    }
}

fn pieces(rng: &mut Rng) -> Vec<Span> {
    (0..rng.usize(..6)).map(|_| span(rng)).collect()
}

fn room(rng: &mut Rng, max: usize) -> Room {
    let len = rng.usize(..max);
    match rng.u32(..20) {
        0..17 => Room::There { len },
        17..19 => Room::Edge {
            there: rng.usize(..max),
            len,
        },
        _ => Room::Foreign {
            address: foreign(rng),
            len,
        },
    }
}

fn place(rng: &mut Rng) -> Place {
    match rng.u32(..20) {
        0..18 => Place::There,
        18 => Place::Edge {
            there: rng.usize(..8),
        },
        _ => Place::Foreign {
            address: foreign(rng),
        },
    }
}

fn pipe(rng: &mut Rng) -> Pipe {
    // As much as a pipe takes, wherever in its pages the data begin.
    let len = 1 + len(rng).min((60 << 10) - 1);
    Pipe {
        filled_by: [Fill::Write, Fill::Vmsplice, Fill::Tee][rng.usize(..3)],
        offset: rng.usize(..=MEMORY - len),
        len,
    }
}

fn offset(rng: &mut Rng) -> i64 {
    match rng.u32(..10) {
        0..7 => rng.i64(-2..12),
        7 => 1 << 40,
        8 => i64::MIN,
        _ => i64::MAX,
    }
}

/// A checksum, or what cannot be one.
fn value(rng: &mut Rng) -> u32 {
    match rng.u32(..10) {
        0 => rng.u32(..),
        1 => [0xfff1, 0xfff1_0000, u32::MAX][rng.usize(..3)],
        2 => [0, 1, 0xfff0, 0xfff0_0000, 0xfff0_fff0][rng.usize(..5)],
        _ => rng.u32(..65521) << 16 | rng.u32(..65521),
    }
}

fn reserved(rng: &mut Rng) -> u32 {
    match rng.u32(..10) {
        0 => 1 << rng.u32(..32),
        _ => 0,
    }
}

fn state(rng: &mut Rng) -> State {
    let length = match rng.u32(..20) {
        0..14 => rng.u64(..1 << 20),
        14..16 => rng.u64(..=uapi::MAX_LENGTH),
        16..19 => uapi::MAX_LENGTH - rng.u64(..10_000),
        _ => uapi::MAX_LENGTH + rng.u64(1..=1 << 63),
    };
    State {
        value: value(rng),
        reserved: reserved(rng),
        length,
    }
}

fn unknown_request(rng: &mut Rng) -> u32 {
    let number = match rng.u32(..2) {
        // A known one of another size or direction.
        0 => rng.u32(0x20..=0x26),
        _ => rng.u32(..0x100),
    };
    rng.u32(..4) << 30 | rng.u32(..0x100) << 16 | u32::from(uapi::IOC_TYPE) << 8 | number
}

fn key(rng: &mut Rng) -> Vec<u8> {
    match rng.u32(..8) {
        0 => vec![0; rng.usize(..64)],
        _ => value(rng).to_be_bytes().to_vec(),
    }
}
