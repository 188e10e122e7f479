// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The operations, and how they are chosen at random.

use adler32::uapi;
use adler32::uapi::State;
use fastrand::Rng;
use libc::c_int;

use adler32_tests::memory::FOREIGN_ADDRESSES;

/// Chooses one of the existing users, files, hashes or messages: this number modulo their number.
pub type Pick = u8;

/// An operation. If it cannot be performed, such as a write without an open file, it is skipped.
#[derive(Clone, Debug)]
pub enum Operation {
    SwitchUser(Pick),
    Open(c_int),
    OnFile(Pick, FileOperation),
    /// Threads use the same file.
    Crowd {
        threads: u8,
        calls: u8,
        seed: u64,
    },
    Bind {
        by_driver: bool,
    },
    OnHash(Pick, HashOperation),
    OnMessage(Pick, MessageOperation),
    Load,
    Unload {
        close_first: bool,
    },
}

/// An operation on an open file of the device.
#[derive(Clone, Debug)]
pub enum FileOperation {
    Dup,
    SetFlags(c_int),
    Close,
    Write(Span),
    PositionedWrite(Span, i64),
    VectoredWrite(Vec<Span>),
    Read(Room),
    PositionedRead(Room, i64),
    VectoredRead(Vec<usize>),
    /// An offset and a `whence`.
    Seek(i64, c_int),
    SendFile {
        offset: usize,
        count: usize,
    },
    Splice(Pipe, usize),
    SpliceOut {
        count: usize,
        by_sendfile: bool,
    },
    /// An argument, which the device ignores.
    Reset(u64),
    Get(Place),
    Set(Place, State),
    Combine(Place, State),
    Update(Place, Span),
    Digest {
        place: Place,
        data: Span,
        start: u32,
        reserved: u32,
    },
    Info(Place),
    UnknownIoctl(u32, Place),
    Unsupported(Unsupported),
    FdInfo,
    Poll,
    /// A child uses the file. If `alone`, no other process has it open any longer.
    Inherit {
        data: Span,
        alone: bool,
    },
    /// A child is killed during a write or an UPDATE.
    Kill {
        by_ioctl: bool,
        alone: bool,
        microseconds: u64,
    },
}

/// An operation on an AF_ALG socket that is bound to the hash.
#[derive(Clone, Debug)]
pub enum HashOperation {
    SetKey(Vec<u8>),
    Accept,
    Close,
}

/// An operation on an operation socket.
#[derive(Clone, Debug)]
pub enum MessageOperation {
    Clone,
    Close,
    Send {
        data: Span,
        more: bool,
    },
    SendVectored(Vec<Span>),
    SendFile {
        offset: usize,
        count: usize,
    },
    Splice {
        pipe: Pipe,
        count: usize,
        more: bool,
    },
    Receive(Room),
}

/// Data to pass to the kernel. `len` is the length passed.
#[derive(Clone, Copy, Debug)]
pub enum Span {
    /// Memory of this process alone.
    Own { offset: usize, len: usize },
    /// Memory shared with the parent until one of them writes to it.
    Inherited { offset: usize, len: usize },
    /// `there` bytes of memory and then a hole.
    Edge { there: usize, len: u64 },
    /// An address that no process can map.
    Foreign { address: u64, len: u64 },
}

/// Memory in which the kernel puts what is read.
#[derive(Clone, Copy, Debug)]
pub enum Room {
    There { len: usize },
    Edge { there: usize, len: usize },
    Foreign { address: u64, len: usize },
}

/// The place of the structure that an ioctl takes.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    There,
    /// The first bytes of the structure exist, and then there is a hole.
    Edge {
        there: usize,
    },
    Foreign {
        address: u64,
    },
}

/// How a pipe is filled with the `len` bytes at `offset` of the process's own memory.
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

/// A system call that the device refuses.
#[derive(Clone, Copy, Debug)]
pub enum Unsupported {
    Sync,
    Truncate,
    Map,
    Epoll,
}

/// The size of each kind of memory.
pub const MEMORY: usize = 512 << 10;
/// The size of the memory before the hole.
pub const EDGE: usize = 64 << 10;

/// Kinds of operations: the weight of each in a random choice, and how to make one.
type Kinds<T> = [(u32, fn(&mut Rng) -> T)];

const fn total<T>(kinds: &Kinds<T>) -> u32 {
    let (mut sum, mut index) = (0, 0);
    while index < kinds.len() {
        sum += kinds[index].0;
        index += 1;
    }
    sum
}

fn choose<T>(rng: &mut Rng, kinds: &Kinds<T>) -> T {
    let mut left = rng.u32(..total(kinds));
    for &(weight, make) in kinds {
        match left.checked_sub(weight) {
            Some(rest) => left = rest,
            None => return make(rng),
        }
    }
    unreachable!("the number is below the sum of the weights")
}

impl Operation {
    const KINDS: &Kinds<Self> = &[
        (30, |rng| Self::SwitchUser(rng.u8(..))),
        (100, |rng| Self::Open(flags(rng))),
        (total(FileOperation::KINDS), |rng| {
            Self::OnFile(rng.u8(..), choose(rng, FileOperation::KINDS))
        }),
        (3, |rng| Self::Crowd {
            threads: rng.u8(2..5),
            calls: rng.u8(1..10),
            seed: rng.u64(..),
        }),
        (20, |rng| Self::Bind {
            by_driver: rng.bool(),
        }),
        (total(HashOperation::KINDS), |rng| {
            Self::OnHash(rng.u8(..), choose(rng, HashOperation::KINDS))
        }),
        (total(MessageOperation::KINDS), |rng| {
            Self::OnMessage(rng.u8(..), choose(rng, MessageOperation::KINDS))
        }),
        (4, |_| Self::Load),
        (4, |rng| Self::Unload {
            close_first: rng.bool(),
        }),
    ];

    /// Makes a random operation.
    pub fn random(rng: &mut Rng) -> Self {
        choose(rng, Self::KINDS)
    }

    /// Returns the name of its kind.
    pub fn kind(&self) -> String {
        let text = match self {
            Self::OnFile(_, operation) => format!("{operation:?}"),
            Self::OnHash(_, operation) => format!("Hash{operation:?}"),
            Self::OnMessage(_, operation) => format!("Message{operation:?}"),
            operation => format!("{operation:?}"),
        };
        let end = text.find([' ', '(']).unwrap_or(text.len());
        text[..end].to_owned()
    }
}

impl FileOperation {
    const KINDS: &Kinds<Self> = &[
        (20, |_| Self::Dup),
        (10, |rng| {
            let flags = [0, libc::O_APPEND, libc::O_NONBLOCK, libc::O_DIRECT];
            Self::SetFlags(one_of(rng, &flags))
        }),
        (100, |_| Self::Close),
        (90, |rng| Self::Write(span(rng))),
        (30, |rng| Self::PositionedWrite(span(rng), offset(rng))),
        (40, |rng| Self::VectoredWrite(pieces(rng))),
        (70, |rng| Self::Read(room(rng, 24))),
        (20, |rng| Self::PositionedRead(room(rng, 24), offset(rng))),
        (15, |rng| {
            let pieces = (0..rng.usize(..5)).map(|_| rng.usize(..6));
            Self::VectoredRead(pieces.collect())
        }),
        (20, |rng| Self::Seek(offset(rng), rng.i32(-1..6))),
        (15, |rng| Self::SendFile {
            offset: rng.usize(..=MEMORY),
            count: len(rng),
        }),
        (15, |rng| Self::Splice(pipe(rng), 1 + len(rng))),
        (15, |rng| Self::SpliceOut {
            count: 1 + rng.usize(..20),
            by_sendfile: rng.bool(),
        }),
        (10, |rng| Self::Reset(rng.u64(..))),
        (40, |rng| Self::Get(place(rng))),
        (20, |rng| Self::Set(place(rng), state(rng))),
        (20, |rng| Self::Combine(place(rng), state(rng))),
        (40, |rng| Self::Update(place(rng), span(rng))),
        (25, |rng| Self::Digest {
            place: place(rng),
            data: span(rng),
            start: value(rng),
            reserved: reserved(rng),
        }),
        (5, |rng| Self::Info(place(rng))),
        (10, |rng| {
            Self::UnknownIoctl(unknown_request(rng), place(rng))
        }),
        (10, |rng| {
            use Unsupported::*;
            Self::Unsupported(one_of(rng, &[Sync, Truncate, Map, Epoll]))
        }),
        (7, |_| Self::FdInfo),
        (3, |_| Self::Poll),
        (6, |rng| Self::Inherit {
            data: span(rng),
            alone: rng.bool(),
        }),
        (4, |rng| Self::Kill {
            by_ioctl: rng.bool(),
            alone: rng.bool(),
            microseconds: rng.u64(..2000),
        }),
    ];
}

impl HashOperation {
    const KINDS: &Kinds<Self> = &[
        (12, |rng| Self::SetKey(key(rng))),
        (30, |_| Self::Accept),
        (15, |_| Self::Close),
    ];
}

impl MessageOperation {
    const KINDS: &Kinds<Self> = &[
        (20, |_| Self::Clone),
        (20, |_| Self::Close),
        (35, |rng| Self::Send {
            data: span(rng),
            more: rng.bool(),
        }),
        (10, |rng| Self::SendVectored(pieces(rng))),
        (10, |rng| Self::SendFile {
            offset: rng.usize(..=MEMORY),
            count: len(rng),
        }),
        (10, |rng| Self::Splice {
            pipe: pipe(rng),
            count: 1 + len(rng),
            more: rng.bool(),
        }),
        (17, |rng| Self::Receive(room(rng, 8))),
    ];
}

fn one_of<T: Copy>(rng: &mut Rng, choices: &[T]) -> T {
    choices[rng.usize(..choices.len())]
}

fn flags(rng: &mut Rng) -> c_int {
    let access = [
        libc::O_RDONLY,
        libc::O_WRONLY,
        libc::O_WRONLY | libc::O_APPEND,
        libc::O_RDWR,
        libc::O_ACCMODE,
    ];
    let mut flags = one_of(rng, &access);
    for (flag, one_in) in [
        (libc::O_APPEND, 10),
        (libc::O_TRUNC, 4),
        (libc::O_NONBLOCK, 4),
        (libc::O_DIRECT, 30),
    ] {
        if rng.u32(..one_in) == 0 {
            flags |= flag;
        }
    }
    flags
}

/// Makes a length: mostly short, sometimes at a boundary at which the module may change its path.
fn len(rng: &mut Rng) -> usize {
    match rng.u32(..100) {
        0..5 => 0,
        5..60 => rng.usize(1..300),
        60..75 => {
            let edges = [256, 2048, 4096, 5552, 8192, 16_384, 32_768, 65_536, 262_144];
            // The smaller of two, because short lengths take less time.
            let edge = edges[rng.usize(..edges.len()).min(rng.usize(..edges.len()))];
            edge + rng.usize(..3) - 1
        }
        75..96 => rng.usize(..10_000),
        96..99 => rng.usize(..100_000),
        _ => rng.usize(..MEMORY),
    }
}

/// Makes a length that is longer than the memory.
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
    one_of(rng, &lengths)
}

fn foreign(rng: &mut Rng) -> u64 {
    match rng.usize(..=FOREIGN_ADDRESSES.len()) {
        0 => 0,
        number => FOREIGN_ADDRESSES[number - 1],
    }
}

/// Makes `len`, or a quarter of the time a length that is longer than the memory.
fn maybe_excessive(rng: &mut Rng, len: usize) -> u64 {
    match rng.u32(..4) {
        0 => excessive(rng),
        _ => len as u64,
    }
}

fn span(rng: &mut Rng) -> Span {
    let kind = rng.u32(..20);
    let len = len(rng);
    let offset = rng.usize(..=MEMORY - len);
    match kind {
        0..12 => Span::Own { offset, len },
        12..16 => Span::Inherited { offset, len },
        16..19 => Span::Edge {
            there: one_of(rng, &[0, 1, 255, 4096, EDGE, len.min(EDGE)]),
            len: maybe_excessive(rng, len),
        },
        _ => {
            let len = maybe_excessive(rng, len);
            let address = foreign(rng);
            Span::Foreign { address, len }
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
    // A pipe takes this much, whatever the offset of the data in its pages.
    let len = 1 + len(rng).min((60 << 10) - 1);
    Pipe {
        filled_by: one_of(rng, &[Fill::Write, Fill::Vmsplice, Fill::Tee]),
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

/// Makes a checksum, or now and then a value that no data has.
fn value(rng: &mut Rng) -> u32 {
    match rng.u32(..10) {
        0 => rng.u32(..),
        1 => one_of(rng, &[0xfff1, 0xfff1_0000, u32::MAX]),
        2 => one_of(rng, &[0, 1, 0xfff0, 0xfff0_0000, 0xfff0_fff0]),
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
        // A known number, with another size or direction.
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
