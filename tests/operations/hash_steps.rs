// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Operations on AF_ALG sockets.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl;
use nix::fcntl::SpliceFFlags;
use nix::sys::sendfile::sendfile;

use crate::arena::Arena;
use crate::model;
use crate::model::Message;
use crate::model::Phase;
use crate::operation::HashOperation;
use crate::operation::MessageOperation;
use crate::operation::Pick;
use crate::operation::Pipe;
use crate::operation::Room;
use crate::operation::Span;
use crate::operation::MEMORY;
use crate::world::World;
use crate::world::MAX;
use adler32_tests::memory;
use adler32_tests::memory::transferred;
use adler32_tests::ErrnoOf;

impl World<'_> {
    /// Performs an operation on a bound socket, and checks the result. Returns `None` if there is
    /// nothing to do.
    pub fn hash_step(&mut self, pick: Pick, operation: HashOperation) -> Option<()> {
        let at = Self::pick(pick, self.hashes.len())?;
        let hash = &mut self.hashes[at];
        match operation {
            HashOperation::SetKey(key) => hash.set_key(&key),
            HashOperation::Accept if self.messages.len() == MAX => return None,
            HashOperation::Accept => self.messages.push(Message {
                socket: hash.socket.accept(),
                seed: hash.seed.clone(),
                phase: Phase::Idle,
            }),
            HashOperation::Close => drop(self.hashes.swap_remove(at)),
        }
        Some(())
    }

    /// Performs an operation on an operation socket, and checks the result. Returns `None` if there
    /// is nothing to do.
    pub fn message_step(&mut self, pick: Pick, operation: MessageOperation) -> Option<()> {
        use MessageOperation as Op;

        let (arena, count) = (self.arena, self.messages.len());
        let at = Self::pick(pick, count)?;
        let message = &mut self.messages[at];
        match operation {
            Op::Clone if count == MAX => return None,
            Op::Clone => {
                let clone = message.accept_clone(message.socket.fork());
                self.messages.push(clone);
            }
            Op::Close => drop(self.messages.swap_remove(at)),
            Op::Send { data, more } => message.try_send(arena, &[data], more),
            Op::SendVectored(pieces) => message.try_send(arena, &pieces, false),
            Op::SendFile { offset, count } => message.send_file(arena, offset, count),
            Op::Splice { pipe, count, more } => message.splice(arena, pipe, count, more),
            Op::Receive(room) => message.try_receive(arena, room),
        }
        Some(())
    }
}

impl model::Hash {
    fn set_key(&mut self, key: &[u8]) {
        let result = self.socket.set_key(key).errno();
        let seed = <[u8; 4]>::try_from(key).map(u32::from_be_bytes);
        match seed.ok().filter(|&seed| model::is_checksum(seed)) {
            // The kernel refuses to change a key while operation sockets use it.
            _ if Rc::strong_count(&self.seed) > 1 => {
                assert_eq!(result, Errno::EBUSY, "a key in use");
            }
            Some(seed) => {
                assert_eq!(result, Errno::UnknownErrno, "a key");
                self.seed.set(seed);
            }
            None => assert_eq!(result, Errno::EINVAL, "an impossible key"),
        }
    }
}

impl Message {
    fn try_send(&mut self, arena: &Arena, pieces: &[Span], more: bool) {
        let pieces: Vec<_> = pieces.iter().map(|&piece| arena.data(piece)).collect();
        let mut vectors: Vec<_> = pieces
            .iter()
            .map(|data| memory::iovec(data.address, data.len))
            .collect();
        // SAFETY: All bytes of the structure may be zero.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = vectors.as_mut_ptr();
        header.msg_iovlen = vectors.len();
        let flags = if more { libc::MSG_MORE } else { 0 };
        let fd = self.socket.as_fd().as_raw_fd();
        // SAFETY: The kernel only reads the memory, and fails if it does not exist.
        let result = transferred(unsafe { libc::sendmsg(fd, &header, flags) });

        let whole = pieces.iter().all(|piece| piece.is_whole());
        let foreign = pieces.iter().any(|piece| piece.foreign);
        let negative = pieces.iter().any(|piece| piece.len > isize::MAX as usize);
        let there: Vec<_> = pieces
            .iter()
            .flat_map(|piece| piece.there)
            .copied()
            .collect();
        match result {
            Ok(count) if whole => {
                assert_eq!(count, there.len(), "send");
                self.send(&there, more);
            }
            Ok(count) => {
                assert!(count > 0 && count <= there.len(), "short send: {count}");
                // The kernel drops a message when it cannot read a part of it.
                self.phase = Phase::Idle;
            }
            Err(error) => {
                let expected = match error.raw_os_error() {
                    Some(libc::EFAULT) => !whole || foreign,
                    Some(libc::EINVAL) => negative,
                    _ => false,
                };
                assert!(expected, "send: {error}");
                self.receive_either();
            }
        }
    }

    fn send_file(&mut self, arena: &Arena, offset: usize, count: usize) {
        let result = sendfile(&self.socket, &arena.file, Some(&mut (offset as i64)), count);
        let there = count.min(MEMORY - offset);
        assert_eq!(result, Ok(there), "sendfile");
        if there > 0 {
            let data = &arena.content()[offset..][..there];
            // The kernel ends the message if it could send as many bytes as requested.
            self.send(data, count > there);
        }
    }

    fn splice(&mut self, arena: &Arena, pipe: Pipe, count: usize, more: bool) {
        let flags = match more {
            true => SpliceFFlags::SPLICE_F_MORE,
            false => SpliceFFlags::empty(),
        };
        let reader = arena.pipe(pipe);
        let result = fcntl::splice(&reader, None, &self.socket, None, count, flags);
        let there = count.min(pipe.len);
        assert_eq!(result, Ok(there), "splice");
        self.send(&arena.content()[pipe.offset..][..there], more);
    }

    fn try_receive(&mut self, arena: &Arena, room: Room) {
        let target = arena.destination(room);
        let mut vector = memory::iovec(target.address, target.len);
        // SAFETY: All bytes of the structure may be zero.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &mut vector;
        header.msg_iovlen = 1;
        let fd = self.socket.as_fd().as_raw_fd();
        // SAFETY: The kernel writes to the sink, or fails because there is no memory.
        let result = transferred(unsafe { libc::recvmsg(fd, &mut header, 0) });
        if target.foreign {
            assert!(result.is_err() || target.len == 0, "received to nowhere");
            self.receive_either();
            return;
        }
        let digest = self.receive().to_be_bytes();
        let wanted = digest.len().min(target.len);
        if target.there < wanted {
            assert_eq!(result.errno(), Errno::EFAULT, "received into a hole");
            return;
        }
        assert_eq!(result.expect("recvmsg"), wanted, "recvmsg");
        arena.check_destination(&target, &digest[..wanted]);
        let cut = header.msg_flags & libc::MSG_TRUNC != 0;
        assert_eq!(cut, target.len < digest.len(), "MSG_TRUNC");
    }

    /// Receives a digest after a failed call. The socket still has its message if the kernel found
    /// the bad address before it called the socket, and otherwise has none.
    fn receive_either(&mut self) {
        let value = self.socket.value();
        let expected = [self.receive(), self.seed.get()];
        assert!(expected.contains(&value), "received {value:#010x}");
    }
}
