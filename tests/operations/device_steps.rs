// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Operations on open files of the device.

use std::cell::RefMut;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use adler32::uapi;
use adler32::uapi::Buffer;
use adler32::uapi::Digest;
use adler32::uapi::Info;
use adler32::uapi::State;
use libc::c_int;
use nix::errno::Errno;
use nix::poll::PollFd;
use nix::poll::PollFlags;

use crate::arena::Data;
use crate::arena::Target;
use crate::model;
use crate::model::OpenFile;
use crate::operation::Operation;
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
use adler32_tests::memory::transferred;
use adler32_tests::reference;
use adler32_tests::ErrnoOf;

/// What one system call transfers at most.
const MAX_TRANSFER: usize = 0x7fff_f000;

impl World<'_> {
    /// Does an operation on a file of the device, if it is one and there is one.
    pub fn device_step(&mut self, operation: &Operation) -> Option<()> {
        use Operation as Op;

        let file = match *operation {
            Op::Dup { file }
            | Op::SetFlags { file, .. }
            | Op::Close { file }
            | Op::Write { file, .. }
            | Op::PositionedWrite { file, .. }
            | Op::VectoredWrite { file, .. }
            | Op::Read { file, .. }
            | Op::PositionedRead { file, .. }
            | Op::VectoredRead { file, .. }
            | Op::Seek { file, .. }
            | Op::SendFile { file, .. }
            | Op::Splice { file, .. }
            | Op::SpliceOut { file, .. }
            | Op::Reset { file, .. }
            | Op::Get { file, .. }
            | Op::Set { file, .. }
            | Op::Combine { file, .. }
            | Op::Update { file, .. }
            | Op::Digest { file, .. }
            | Op::Info { file, .. }
            | Op::UnknownIoctl { file, .. }
            | Op::Unsupported { file, .. }
            | Op::FdInfo { file }
            | Op::Poll { file }
            | Op::Inherit { file, .. }
            | Op::Kill { file, .. } => file,
            _ => return None,
        };
        let at = Self::pick(file, self.files.len())?;
        match *operation {
            Op::Dup { .. } => return self.dup(at),
            Op::SetFlags { flags, .. } => self.set_flags(at, flags),
            Op::Close { .. } => self.close(at),
            Op::Write { data, .. } => self.write(at, &[data], Call::Plain),
            Op::PositionedWrite { data, offset, .. } => {
                self.write(at, &[data], Call::Positioned(offset));
            }
            Op::VectoredWrite { ref pieces, .. } => self.write(at, pieces, Call::Vectored),
            Op::Read { room, .. } => self.read(at, room, None),
            Op::PositionedRead { room, offset, .. } => self.read(at, room, Some(offset)),
            Op::VectoredRead { ref pieces, .. } => self.read_vectored(at, pieces),
            Op::Seek { offset, whence, .. } => self.seek(at, offset, whence),
            Op::SendFile { offset, count, .. } => self.send_file(at, offset, count),
            Op::Splice { pipe, count, .. } => self.splice(at, pipe, count),
            Op::SpliceOut {
                count, by_sendfile, ..
            } => self.splice_out(at, count, by_sendfile),
            Op::Reset { argument, .. } => self.reset(at, argument),
            Op::Get { place, .. } => self.get(at, place),
            Op::Set { place, state, .. } => self.set(at, place, state),
            Op::Combine { place, part, .. } => self.combine(at, place, part),
            Op::Update { place, data, .. } => self.update(at, place, data),
            Op::Digest {
                place,
                data,
                start,
                reserved,
                ..
            } => self.digest(at, place, data, start, reserved),
            Op::Info { place, .. } => self.info(at, place),
            Op::UnknownIoctl { request, place, .. } => {
                return self.unknown_ioctl(at, request, place);
            }
            Op::Unsupported { call, .. } => self.unsupported(at, call),
            Op::FdInfo { .. } => self.fdinfo(at),
            Op::Poll { .. } => self.poll(at),
            Op::Inherit { data, alone, .. } => return self.inherit(at, data, alone),
            Op::Kill {
                by_ioctl,
                alone,
                microseconds,
                ..
            } => return self.kill(at, by_ioctl, alone, microseconds),
            _ => return None,
        }
        Some(())
    }

    fn open_file(&self, at: usize) -> RefMut<'_, OpenFile> {
        self.files[at].open.borrow_mut()
    }

    fn register_of(&self, open: &OpenFile) -> State {
        self.registers[open.owner]
    }

    fn set_flags(&mut self, at: usize, flags: c_int) {
        // SAFETY: The call takes no pointers.
        let status = unsafe { libc::fcntl(self.fd(at), libc::F_SETFL, flags) };
        let result = Errno::result(status).errno();
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
                // SAFETY: The kernel only reads, and checks the address itself.
                transferred(unsafe {
                    libc::pwrite(
                        self.fd(at),
                        pieces[0].address as *const _,
                        pieces[0].len,
                        offset,
                    )
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
            // The kernel refuses what would end beyond the largest file.
            Call::Positioned(offset)
                if offset.checked_add_unsigned(gathered.len as u64).is_none() =>
            {
                let errno = result.errno();
                assert!(
                    errno == Errno::EINVAL || !gathered.whole && errno == Errno::EFAULT,
                    "an offset too large: {errno}"
                );
            }
            _ => {
                let count = check_append(&mut open, result, &gathered);
                // Of no bytes, the kernel does not tell the driver's position to the file.
                if count > 0 && !matches!(call, Call::Positioned(_)) {
                    open.position = 0;
                }
            }
        }
    }

    fn read(&mut self, at: usize, room: Room, offset: Option<i64>) {
        let target = self.arena.target(room);
        let fd = self.fd(at);
        let address = target.address as *mut _;
        // SAFETY: The kernel writes to the sink, or checks that there is nothing.
        let result = transferred(unsafe {
            match offset {
                None => libc::read(fd, address, target.len),
                Some(offset) => libc::pread(fd, address, target.len, offset),
            }
        });
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
        if position.checked_add(target.len as i64).is_none() {
            let errno = result.errno();
            assert!(
                errno == Errno::EINVAL || target.foreign && errno == Errno::EFAULT,
                "an offset too large: {errno}"
            );
            return;
        }
        if target.foreign {
            // Whether the view is taken depends on who finds out about the address.
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
        let register = self.register_of(&open);
        let text = open.text(position, register);
        let count = self.check_read(result, &target, &text);
        if offset.is_none() {
            open.position += count as i64;
        }
    }

    /// Checks a read of `text`. Returns how many bytes it returned.
    fn check_read(&self, result: io::Result<usize>, target: &Target, text: &[u8]) -> usize {
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
                    "EFAULT though there is memory"
                );
                0
            }
        };
        self.arena.check_target(target, &text[..count]);
        count
    }

    fn read_vectored(&mut self, at: usize, pieces: &[usize]) {
        let len = pieces.iter().sum();
        let target = self.arena.target(Room::There { len });
        let mut address = target.address;
        let pieces: Vec<_> = pieces
            .iter()
            .map(|&len| {
                let piece = memory::iovec(address, len);
                address += len;
                piece
            })
            .collect();
        // SAFETY: The kernel writes to the sink.
        let result = transferred(unsafe {
            libc::readv(self.fd(at), pieces.as_ptr(), pieces.len() as c_int)
        });
        let mut open = self.open_file(at);
        if !open.mode.is_readable() {
            assert_eq!(result.errno(), Errno::EBADF, "not open for reading");
            return;
        }
        if len == 0 {
            // This ends before the device is asked.
            assert_eq!(result.expect("readv"), 0);
            return;
        }
        let register = self.register_of(&open);
        let position = open.position;
        let text = open.text(position, register);
        open.position += self.check_read(result, &target, &text) as i64;
    }

    fn seek(&mut self, at: usize, offset: i64, whence: c_int) {
        // SAFETY: The call takes no pointers.
        let status = unsafe { libc::lseek(self.fd(at), offset, whence) };
        let result = Errno::result(status);
        let mut open = self.open_file(at);
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
            }
            None => assert_eq!(result, Err(Errno::EINVAL), "lseek"),
        }
    }

    /// The kernel moves data to a file that is not open to append, as with any file.
    fn check_moved(&self, at: usize, result: io::Result<usize>, data: &[u8]) {
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
            // Page by page, as far as there is room.
            match result {
                Ok(count) => {
                    assert!(count <= data.len() && count as u64 <= open.room());
                    if data.len() as u64 <= open.room() {
                        assert_eq!(count, data.len(), "all that there is");
                    }
                    open.append(&data[..count]);
                    if count > 0 {
                        open.position = 0;
                    }
                }
                Err(error) => {
                    let errno = error.raw_os_error();
                    assert_eq!(errno, Some(libc::EOVERFLOW), "{error}");
                    assert!(data.len() as u64 > open.room(), "there is room");
                }
            }
        }
    }

    fn send_file(&mut self, at: usize, offset: usize, count: usize) {
        let mut place = offset as i64;
        // SAFETY: The place of the offset can be written to.
        let result = transferred(unsafe {
            libc::sendfile(self.fd(at), self.arena.file.as_raw_fd(), &mut place, count)
        });
        let data = &self.arena.content()[offset..];
        self.check_moved(at, result, &data[..count.min(MEMORY - offset)]);
    }

    fn splice(&mut self, at: usize, pipe: Pipe, count: usize) {
        let reader = self.arena.pipe(pipe);
        // SAFETY: Null stands for no offset.
        let result = transferred(unsafe {
            libc::splice(
                reader.as_raw_fd(),
                std::ptr::null_mut(),
                self.fd(at),
                std::ptr::null_mut(),
                count,
                0,
            )
        });
        let data = &self.arena.content()[pipe.offset..];
        self.check_moved(at, result, &data[..count.min(pipe.len)]);
    }

    fn splice_out(&mut self, at: usize, count: usize, by_sendfile: bool) {
        let (reader, writer) = nix::unistd::pipe().expect("pipe");
        let null = std::ptr::null_mut();
        // SAFETY: Null stands for no offset.
        let result = transferred(unsafe {
            if by_sendfile {
                libc::sendfile(writer.as_raw_fd(), self.fd(at), null, count)
            } else {
                libc::splice(self.fd(at), null, writer.as_raw_fd(), null, count, 0)
            }
        });
        drop(writer);
        let mut open = self.open_file(at);
        if !open.mode.is_readable() {
            assert_eq!(result.errno(), Errno::EBADF, "not open for reading");
            return;
        }
        let register = self.register_of(&open);
        let position = open.position;
        let text = open.text(position, register);
        let wanted = text.len().min(count);
        assert_eq!(result.expect("to a pipe"), wanted, "to a pipe");
        let mut read = Vec::new();
        io::Read::read_to_end(&mut std::fs::File::from(reader), &mut read).expect("read");
        assert_eq!(read, text[..wanted], "what came out of the pipe");
        open.position += wanted as i64;
    }

    fn reset(&mut self, at: usize, argument: u64) {
        let result = self.files[at].file.ioctl(device::RESET, argument as usize);
        let mut open = self.open_file(at);
        if check_errors(result, &[(!open.mode.is_writable(), Errno::EBADF)]) {
            open.state = device::EMPTY;
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
        let register = self.register_of(&open);
        let state = open.look(true, register);
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
            open.state = state;
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
        if !open.mode.is_writable() || !whole {
            check_errors(
                result,
                &[
                    (!open.mode.is_writable(), Errno::EBADF),
                    (!whole, Errno::EFAULT),
                ],
            );
            return;
        }
        let overflow = data.len as u64 > open.room();
        let mut errors = [
            (overflow, Errno::EOVERFLOW),
            (!data.is_whole(), Errno::EFAULT),
        ];
        // Which is found first is not promised.
        if matches!(&result, Err(error) if error.raw_os_error() == Some(libc::EFAULT)) {
            errors.reverse();
        }
        if check_errors(result, &errors) {
            open.append(data.there);
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
            for text in [info.implementation, info.module_version] {
                let end = text.iter().position(|&byte| byte == 0).expect("a NUL");
                assert!(text[end..].iter().all(|&byte| byte == 0), "INFO: {text:?}");
            }
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
        let fd = self.fd(at);
        let errno = |status| Errno::result(status).errno();
        let (result, expected) = match call {
            // SAFETY: The call takes no pointers.
            Unsupported::Sync => (errno(unsafe { libc::fsync(fd) }), [Errno::EINVAL; 2]),
            // SAFETY: The call takes no pointers.
            Unsupported::Truncate => (errno(unsafe { libc::ftruncate(fd, 0) }), [Errno::EINVAL; 2]),
            Unsupported::Map => {
                let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED);
                // SAFETY: The kernel chooses a free address range, if any.
                let map =
                    unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, fd, 0) };
                assert_eq!(map, libc::MAP_FAILED);
                (Errno::last(), [Errno::ENODEV, Errno::EACCES])
            }
            Unsupported::Epoll => {
                let flags = nix::sys::epoll::EpollCreateFlags::EPOLL_CLOEXEC;
                let epoll = nix::sys::epoll::Epoll::new(flags).expect("epoll_create");
                let event = nix::sys::epoll::EpollEvent::empty();
                let result = epoll.add(&self.files[at].file, event);
                (result.errno(), [Errno::EPERM; 2])
            }
        };
        assert!(expected.contains(&result), "{call:?}: {result}");
    }

    fn fdinfo(&mut self, at: usize) {
        let fields = self.as_root(|| self.files[at].file.fdinfo());
        let open = self.open_file(at);
        let state = match open.view_due {
            true => self.register_of(&open),
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

#[derive(Clone, Copy)]
enum Call {
    Plain,
    Positioned(i64),
    Vectored,
}

/// The data of a write.
struct Gathered {
    /// The bytes up to the first that is not there.
    there: Vec<u8>,
    len: usize,
    whole: bool,
    foreign: bool,
    /// A length is beyond what a call takes for one.
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

/// Checks the result of a write, and appends what it wrote. Returns how much that is.
fn check_append(open: &mut OpenFile, result: io::Result<usize>, data: &Gathered) -> usize {
    match result {
        Ok(count) => {
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
                Some(libc::EOVERFLOW) => overflow,
                _ => false,
            };
            assert!(expected, "write: {error}");
            0
        }
    }
}

/// Fails unless a result is the first error of which the condition holds, or a success. Returns
/// whether that.
fn check_errors(result: io::Result<()>, errors: &[(bool, Errno)]) -> bool {
    let expected = errors.iter().find(|(holds, _)| *holds);
    let expected = expected.map_or(Errno::UnknownErrno, |&(_, errno)| errno);
    assert_eq!(result.errno(), expected);
    expected == Errno::UnknownErrno
}
