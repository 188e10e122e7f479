// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Operations on open files of the device.

use std::cell::RefMut;
use std::fs::File;
use std::io;
use std::io::Read;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use adler32::uapi;
use adler32::uapi::Buffer;
use adler32::uapi::Digest;
use adler32::uapi::Info;
use adler32::uapi::State;
use libc::c_int;
use nix::errno::Errno;
use nix::fcntl;
use nix::fcntl::FcntlArg;
use nix::fcntl::OFlag;
use nix::fcntl::SpliceFFlags;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::sys::epoll::Epoll;
use nix::sys::epoll::EpollCreateFlags;
use nix::sys::epoll::EpollEvent;
use nix::sys::mman;
use nix::sys::mman::MapFlags;
use nix::sys::mman::ProtFlags;
use nix::sys::sendfile::sendfile;
use nix::unistd;

use crate::arena::Data;
use crate::arena::Destination;
use crate::model;
use crate::model::OpenFile;
use crate::operation::FileOperation;
use crate::operation::Pick;
use crate::operation::Pipe;
use crate::operation::Place;
use crate::operation::Room;
use crate::operation::Span;
use crate::operation::Unsupported;
use crate::operation::MEMORY;
use crate::world::World;
use adler32_tests::device;
use adler32_tests::device::Device;
use adler32_tests::memory;
use adler32_tests::memory::page_size;
use adler32_tests::memory::transferred;
use adler32_tests::reference;
use adler32_tests::ErrnoOf;

/// The most that one system call transfers.
const MAX_TRANSFER: usize = 0x7fff_f000;

impl World<'_> {
    /// Performs an operation on a file of the device, and checks the result. Returns `None` if
    /// there is nothing to do.
    pub fn file_step(&mut self, pick: Pick, operation: FileOperation) -> Option<()> {
        use FileOperation as Op;

        let at = Self::pick(pick, self.files.len())?;
        match operation {
            Op::Dup => self.dup(at)?,
            Op::SetFlags(flags) => self.set_flags(at, flags),
            Op::Close => self.close(at),
            Op::Write(data) => self.write(at, &[data], Call::Plain),
            Op::PositionedWrite(data, offset) => {
                // Offset 0 stands for the one at which the session continues.
                let offset = if offset == 0 {
                    self.open_file(at).next()
                } else {
                    offset
                };
                self.write(at, &[data], Call::Positioned(offset));
            }
            Op::VectoredWrite(pieces) => self.write(at, &pieces, Call::Vectored),
            Op::Read(room) => self.read(at, room, None),
            Op::PositionedRead(room, offset) => self.read(at, room, Some(offset)),
            Op::VectoredRead(pieces) => self.read_vectored(at, &pieces),
            Op::Seek(offset, whence) => self.seek(at, offset, whence),
            Op::SendFile { offset, count } => self.send_file(at, offset, count),
            Op::Splice(pipe, count) => self.splice(at, pipe, count),
            Op::SpliceOut { count, by_sendfile } => self.splice_out(at, count, by_sendfile),
            Op::Reset(argument) => self.reset(at, argument),
            Op::Get(place) => self.get(at, place),
            Op::Set(place, state) => self.set(at, place, state),
            Op::Combine(place, part) => self.combine(at, place, part),
            Op::Update(place, data) => self.update(at, place, data),
            Op::Digest {
                place,
                data,
                start,
                reserved,
            } => self.digest(at, place, data, start, reserved),
            Op::Info(place) => self.info(at, place),
            Op::UnknownIoctl(request, place) => self.unknown_ioctl(at, request, place)?,
            Op::Unsupported(call) => self.unsupported(at, call),
            Op::FdInfo => self.fdinfo(at),
            Op::Poll => self.poll(at),
            Op::Inherit { data, alone } => self.inherit(at, data, alone)?,
            Op::Kill {
                by_ioctl,
                alone,
                microseconds,
            } => self.kill(at, by_ioctl, alone, microseconds)?,
        }
        Some(())
    }

    fn open_file(&self, at: usize) -> RefMut<'_, OpenFile> {
        self.files[at].open.borrow_mut()
    }

    fn slot_of(&self, open: &OpenFile) -> State {
        self.slots[open.owner]
    }

    /// Returns the text at a position of a file, as a read of the file finds it.
    fn text(&self, open: &mut OpenFile, position: i64) -> Vec<u8> {
        let slot = self.slot_of(open);
        open.text(position, slot)
    }

    fn set_flags(&mut self, at: usize, flags: c_int) {
        let new = FcntlArg::F_SETFL(OFlag::from_bits_retain(flags));
        let result = fcntl::fcntl(&self.files[at].file, new).errno();
        if flags & libc::O_DIRECT != 0 {
            assert_eq!(result, Errno::EINVAL, "O_DIRECT");
        } else {
            assert_eq!(result, Errno::UnknownErrno, "F_SETFL");
            self.open_file(at).append = flags & libc::O_APPEND != 0;
        }
    }

    fn fd(&self, at: usize) -> c_int {
        self.files[at].file.as_raw_fd()
    }

    fn write(&mut self, at: usize, pieces: &[Span], call: Call) {
        let pieces: Vec<_> = pieces.iter().map(|&piece| self.arena.data(piece)).collect();
        let file = &self.files[at].file;
        let result = match call {
            Call::Plain => memory::write_from(file, pieces[0].address, pieces[0].len),
            Call::Positioned(offset) => {
                // SAFETY: The kernel only reads the memory, and fails if it does not exist.
                transferred(unsafe {
                    let data = &pieces[0];
                    libc::pwrite(self.fd(at), data.address as *const _, data.len, offset)
                })
            }
            Call::Vectored => {
                let pieces: Vec<_> = pieces.iter().map(|data| (data.address, data.len)).collect();
                memory::writev_from(file, &pieces)
            }
        };
        let mut open = self.open_file(at);
        let gathered = Gathered::new(&pieces);
        match call {
            Call::Positioned(offset) if offset < 0 => {
                assert_eq!(result.errno(), Errno::EINVAL, "a negative offset");
            }
            _ if !open.mode.is_writable() => {
                assert_eq!(result.errno(), Errno::EBADF, "not open for writing");
            }
            Call::Positioned(offset) => {
                check_append(&mut open, result, &gathered, Some(offset));
            }
            Call::Plain | Call::Vectored => {
                let count = check_append(&mut open, result, &gathered, None);
                open.wrote(count);
            }
        }
    }

    fn read(&mut self, at: usize, room: Room, offset: Option<i64>) {
        let target = self.arena.destination(room);
        let result = match offset {
            None => memory::read_into(&self.files[at].file, target.address, target.len),
            // SAFETY: The kernel writes to the sink, or fails because there is no memory.
            Some(offset) => transferred(unsafe {
                libc::pread(self.fd(at), target.address as *mut _, target.len, offset)
            }),
        };
        let mut open = self.open_file(at);
        if offset.is_some_and(|offset| offset < 0) {
            assert_eq!(result.errno(), Errno::EINVAL, "a negative offset");
            return;
        }
        if !open.mode.is_readable() {
            assert_eq!(result.errno(), Errno::EBADF, "not open for reading");
            return;
        }
        let position = offset.unwrap_or(open.position);
        if target.foreign {
            // The module may or may not take the view before the bad address is found.
            match result {
                Ok(count) => {
                    assert_eq!(count, 0, "read to nowhere");
                    assert!(target.len == 0 || position >= 9, "read to nowhere");
                }
                result => assert_eq!(result.errno(), Errno::EFAULT, "read to nowhere"),
            }
            drop(open);
            self.get(at, Place::There);
            return;
        }
        let text = self.text(&mut open, position);
        let count = self.check_read(result, &target, &text);
        if offset.is_none() {
            open.has_read(count);
        }
    }

    /// Checks the result of a read of `text`, and returns the number of bytes read.
    fn check_read(&self, result: io::Result<usize>, target: &Destination, text: &[u8]) -> usize {
        let wanted = text.len().min(target.len);
        let count = match result {
            Ok(count) if target.there >= wanted => {
                assert_eq!(count, wanted, "read");
                count
            }
            Ok(count) => {
                assert!(count > 0 && count <= target.there, "read returned {count}");
                count
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::EFAULT), "read: {error}");
                assert!(
                    wanted > 0 && target.there == 0,
                    "EFAULT though the memory exists"
                );
                0
            }
        };
        self.arena.check_destination(target, &text[..count]);
        count
    }

    fn read_vectored(&mut self, at: usize, pieces: &[usize]) {
        let len = pieces.iter().sum();
        let target = self.arena.destination(Room::There { len });
        let mut address = target.address;
        let pieces: Vec<_> = pieces
            .iter()
            .map(|&len| {
                let piece = memory::iovec(address, len);
                address += len;
                piece
            })
            .collect();
        // SAFETY: The pieces are within the sink, which holds nothing else.
        let result = transferred(unsafe {
            libc::readv(self.fd(at), pieces.as_ptr(), pieces.len() as c_int)
        });
        let mut open = self.open_file(at);
        if !open.mode.is_readable() {
            assert_eq!(result.errno(), Errno::EBADF, "not open for reading");
            return;
        }
        if len == 0 {
            // The kernel does not call the device.
            assert_eq!(result.expect("readv"), 0);
            return;
        }
        let position = open.position;
        let text = self.text(&mut open, position);
        let count = self.check_read(result, &target, &text);
        open.has_read(count);
    }

    fn seek(&mut self, at: usize, offset: i64, whence: c_int) {
        // SAFETY: The call takes no pointers.
        let status = unsafe { libc::lseek(self.fd(at), offset, whence) };
        let result = Errno::result(status);
        let mut open = self.open_file(at);
        if open.mode.has_slot() {
            let expected = match whence {
                libc::SEEK_CUR if offset == 0 => Ok(open.next()),
                libc::SEEK_SET if offset == open.next() => Ok(offset),
                0..=libc::SEEK_HOLE => Err(Errno::ESPIPE),
                _ => Err(Errno::EINVAL),
            };
            assert_eq!(result, expected, "lseek");
            return;
        }
        if open.mode.is_writable() && whence == libc::SEEK_CUR && offset > 0 {
            assert_eq!(result, Err(Errno::ESPIPE), "lseek");
            return;
        }
        let base = match whence {
            libc::SEEK_SET => Some(0),
            libc::SEEK_CUR => Some(open.position),
            libc::SEEK_END => Some(9),
            _ => None,
        };
        let target = base.and_then(|base| base.checked_add(offset));
        match target.filter(|target| (0..=9).contains(target)) {
            Some(target) => {
                assert_eq!(result, Ok(target), "lseek");
                open.position = target;
                open.sought |= (whence, offset) != (libc::SEEK_CUR, 0);
            }
            None => assert_eq!(result, Err(Errno::EINVAL), "lseek"),
        }
    }

    /// Checks the result of a sendfile or splice of `data`, which the kernel refuses with O_APPEND,
    /// as for any file.
    fn check_moved(&self, at: usize, result: nix::Result<usize>, data: &[u8]) {
        let mut open = self.open_file(at);
        if !open.mode.is_writable() {
            assert_eq!(result.errno(), Errno::EBADF, "not open for writing");
        } else if open.append {
            let errno = result.errno();
            assert!(
                errno == Errno::EINVAL || data.is_empty() && errno == Errno::UnknownErrno,
                "open to append: {errno}"
            );
        } else {
            // Whole pages are consumed until the length would overflow.
            match result {
                Ok(count) => {
                    assert!(count <= data.len() && count as u64 <= open.room());
                    if data.len() as u64 <= open.room() {
                        assert_eq!(count, data.len(), "some data was left");
                    }
                    assert!(count == 0 || open.continues(None), "elsewhere");
                    open.append(&data[..count]);
                    open.wrote(count);
                }
                Err(Errno::ESPIPE) => assert!(!open.continues(None), "the write continues"),
                Err(errno) => {
                    assert_eq!(errno, Errno::EOVERFLOW);
                    assert!(data.len() as u64 > open.room(), "there is room");
                }
            }
        }
    }

    fn send_file(&mut self, at: usize, offset: usize, count: usize) {
        let file = &self.files[at].file;
        let result = sendfile(file, &self.arena.file, Some(&mut (offset as i64)), count);
        let data = &self.arena.content()[offset..];
        self.check_moved(at, result, &data[..count.min(MEMORY - offset)]);
    }

    fn splice(&mut self, at: usize, pipe: Pipe, count: usize) {
        let reader = self.arena.pipe(pipe);
        let file = &self.files[at].file;
        let result = fcntl::splice(&reader, None, file, None, count, SpliceFFlags::empty());
        let data = &self.arena.content()[pipe.offset..];
        self.check_moved(at, result, &data[..count.min(pipe.len)]);
    }

    fn splice_out(&mut self, at: usize, count: usize, by_sendfile: bool) {
        let (reader, writer) = unistd::pipe().expect("pipe");
        let file = &self.files[at].file;
        let result = if by_sendfile {
            sendfile(&writer, file, None, count)
        } else {
            fcntl::splice(file, None, &writer, None, count, SpliceFFlags::empty())
        };
        drop(writer);
        let mut open = self.open_file(at);
        if !open.mode.is_readable() {
            assert_eq!(result.errno(), Errno::EBADF, "not open for reading");
            return;
        }
        let position = open.position;
        let text = self.text(&mut open, position);
        let wanted = text.len().min(count);
        assert_eq!(result.expect("to a pipe"), wanted, "to a pipe");
        let mut read = Vec::new();
        File::from(reader).read_to_end(&mut read).expect("read");
        assert_eq!(read, text[..wanted], "what came out of the pipe");
        open.has_read(wanted);
    }

    fn reset(&mut self, at: usize, argument: u64) {
        let result = self.files[at].file.ioctl(device::RESET, argument as usize);
        let mut open = self.open_file(at);
        if check_errors(result, &[(!open.mode.is_writable(), Errno::EBADF)]) {
            open.replace(device::EMPTY);
        }
    }

    fn get(&mut self, at: usize, place: Place) {
        let garbage = State {
            value: 0xdead_beef,
            reserved: 0xdead_beef,
            length: 0xdead_beef,
        };
        let (address, whole) = self.arena.argument(place, garbage);
        let result = self.files[at].file.ioctl(device::GET, address);
        let mut open = self.open_file(at);
        let slot = self.slot_of(&open);
        let state = open.read(true, slot);
        if check_errors(result, &[(!whole, Errno::EFAULT)]) {
            assert_eq!(self.arena.result::<State>(address), state, "GET");
        }
    }

    fn set(&mut self, at: usize, place: Place, state: State) {
        let (address, whole) = self.arena.argument(place, state);
        let result = self.files[at].file.ioctl(device::SET, address);
        let mut open = self.open_file(at);
        let errors = [
            (!open.mode.is_writable(), Errno::EBADF),
            (!whole, Errno::EFAULT),
            (!model::is_possible(state), Errno::EINVAL),
        ];
        if check_errors(result, &errors) {
            open.replace(state);
        }
    }

    fn combine(&mut self, at: usize, place: Place, part: State) {
        let (address, whole) = self.arena.argument(place, part);
        let result = self.files[at].file.ioctl(device::COMBINE, address);
        let mut open = self.open_file(at);
        let errors = [
            (!open.mode.is_writable(), Errno::EBADF),
            (!whole, Errno::EFAULT),
            (!model::is_possible(part), Errno::EINVAL),
            (part.length > open.room(), Errno::EOVERFLOW),
        ];
        if check_errors(result, &errors) {
            let value = model::combine(open.state.value, part);
            open.state = device::state(value, open.state.length + part.length);
            open.changed = true;
        }
    }

    fn update(&mut self, at: usize, place: Place, span: Span) {
        let data = self.arena.data(span);
        let buffer = Buffer {
            address: data.address as u64,
            length: data.len as u64,
        };
        let (address, whole) = self.arena.argument(place, buffer);
        let result = self.files[at].file.ioctl(device::UPDATE, address);
        let mut open = self.open_file(at);
        let mut errors = [
            (!open.mode.is_writable(), Errno::EBADF),
            (!whole, Errno::EFAULT),
            (data.len as u64 > uapi::MAX_BUFFER, Errno::EINVAL),
            (data.len as u64 > open.room(), Errno::EOVERFLOW),
            (!data.is_whole(), Errno::EFAULT),
        ];
        // The module may check the length or the data first.
        if matches!(&result, Err(error) if error.raw_os_error() == Some(libc::EFAULT)) {
            errors.swap(3, 4);
        }
        if check_errors(result, &errors) {
            open.append(data.there);
            open.changed = true;
        }
    }

    fn digest(&mut self, at: usize, place: Place, span: Span, start: u32, reserved: u32) {
        let data = self.arena.data(span);
        let digest = Digest {
            address: data.address as u64,
            length: data.len as u64,
            value: start,
            reserved,
        };
        let (address, whole) = self.arena.argument(place, digest);
        let result = self.files[at].file.ioctl(device::DIGEST, address);
        let errors = [
            (!whole, Errno::EFAULT),
            (!model::is_checksum(start) || reserved != 0, Errno::EINVAL),
            (data.len as u64 > uapi::MAX_BUFFER, Errno::EINVAL),
            (!data.is_whole(), Errno::EFAULT),
        ];
        if check_errors(result, &errors) {
            let expected = Digest {
                value: reference::append(start, data.there),
                ..digest
            };
            assert_eq!(self.arena.result::<Digest>(address), expected, "DIGEST");
        }
    }

    fn info(&mut self, at: usize, place: Place) {
        let garbage = Info {
            abi_version: !0,
            reserved: !0,
            implementation: [0xff; 24],
            module_version: [0xff; 24],
        };
        let (address, whole) = self.arena.argument(place, garbage);
        let result = self.files[at].file.ioctl(device::INFO, address);
        if check_errors(result, &[(!whole, Errno::EFAULT)]) {
            let info: Info = self.arena.result(address);
            assert_eq!((info.abi_version, info.reserved), (uapi::ABI_VERSION, 0));
            device::text_of(&info.implementation);
            device::text_of(&info.module_version);
        }
    }

    fn unknown_ioctl(&mut self, at: usize, request: u32, place: Place) -> Option<()> {
        if device::REQUESTS.contains(&request.into()) {
            return None;
        }
        let (address, _) = self.arena.argument(place, [0_u8; 64]);
        let result = self.files[at].file.ioctl(request.into(), address);
        assert_eq!(result.errno(), Errno::ENOTTY, "ioctl {request:#x}");
        Some(())
    }

    fn unsupported(&mut self, at: usize, call: Unsupported) {
        let file = &self.files[at].file;
        let (result, expected) = match call {
            Unsupported::Sync => (unistd::fsync(file).errno(), [Errno::UnknownErrno; 2]),
            Unsupported::Truncate => (unistd::ftruncate(file, 0).errno(), [Errno::EINVAL; 2]),
            Unsupported::Map => {
                let page = NonZeroUsize::new(page_size()).expect("not zero");
                let (protection, flags) = (ProtFlags::PROT_READ, MapFlags::MAP_SHARED);
                // SAFETY: The kernel chooses an address range that is free.
                let map = unsafe { mman::mmap(None, page, protection, flags, file, 0) };
                (map.errno(), [Errno::ENODEV, Errno::EACCES])
            }
            Unsupported::Epoll => {
                let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll_create");
                let added = epoll.add(file, EpollEvent::empty());
                (added.errno(), [Errno::EPERM; 2])
            }
        };
        assert!(expected.contains(&result), "{call:?}: {result}");
    }

    fn fdinfo(&mut self, at: usize) {
        let fields = self.as_root(|| self.files[at].file.fdinfo());
        let open = self.open_file(at);
        let state = match open.view_due {
            true => self.slot_of(&open),
            false => open.state,
        };
        let expected = [
            ("value", format!("{:08x}", state.value)),
            ("length", state.length.to_string()),
            ("mode", open.mode.name().to_owned()),
        ];
        for (key, value) in expected {
            assert_eq!(fields.get(key), Some(&value), "{key} in fdinfo");
        }
    }

    fn poll(&mut self, at: usize) {
        let both = PollFlags::POLLIN | PollFlags::POLLOUT;
        let mut polled = [PollFd::new(self.files[at].file.as_fd(), both)];
        assert_eq!(nix::poll::poll(&mut polled, 0_u16), Ok(1), "poll");
        assert_eq!(polled[0].revents(), Some(both), "poll");
    }
}

/// The system call that writes.
#[derive(Clone, Copy)]
enum Call {
    Plain,
    Positioned(i64),
    Vectored,
}

/// The data of a write, from all of its pieces.
struct Gathered {
    /// The bytes before the first hole.
    there: Vec<u8>,
    len: usize,
    whole: bool,
    foreign: bool,
    /// A length is negative as an `isize`, for which system calls fail.
    negative: bool,
}

impl Gathered {
    fn new(pieces: &[Data<'_>]) -> Self {
        let mut there = Vec::new();
        let mut whole = true;
        let mut len = 0_usize;
        for piece in pieces {
            if whole {
                there.extend_from_slice(piece.there);
            }
            whole &= piece.is_whole();
            len = len.saturating_add(piece.len);
        }
        Self {
            there,
            len,
            whole,
            foreign: pieces.iter().any(|piece| piece.foreign),
            negative: pieces.iter().any(|piece| piece.len > isize::MAX as usize),
        }
    }
}

/// Checks the result of a write, and appends the bytes written to the model. Returns their number.
fn check_append(
    open: &mut OpenFile,
    result: io::Result<usize>,
    data: &Gathered,
    offset: Option<i64>,
) -> usize {
    match result {
        Ok(count) => {
            assert!(count == 0 || open.continues(offset), "a write elsewhere");
            if data.whole {
                assert_eq!(count, data.there.len(), "a write is consumed whole");
            } else {
                let range = 1..=data.there.len();
                assert!(range.contains(&count), "short write of {count}");
            }
            assert!(count as u64 <= open.room(), "the length overflows");
            open.append(&data.there[..count]);
            count
        }
        Err(error) => {
            let overflow = data.len.min(MAX_TRANSFER) as u64 > open.room();
            let expected = match error.raw_os_error() {
                Some(libc::EFAULT) => data.foreign || !data.whole && data.there.is_empty(),
                Some(libc::EINVAL) => data.negative,
                Some(libc::ESPIPE) => !open.continues(offset),
                Some(libc::EOVERFLOW) => overflow,
                _ => false,
            };
            assert!(expected, "write: {error}");
            0
        }
    }
}

/// Checks that a result is the first of the errors that apply, or a success if none applies.
/// Returns whether it is a success.
fn check_errors(result: io::Result<()>, errors: &[(bool, Errno)]) -> bool {
    let expected = errors.iter().find(|(applies, _)| *applies);
    let expected = expected.map_or(Errno::UnknownErrno, |&(_, errno)| errno);
    assert_eq!(result.errno(), expected);
    expected == Errno::UnknownErrno
}
