// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Operations on AF_ALG sockets.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use crate::model::Message;
use crate::model::Progress;
use crate::operation::Operation;
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
    /// Does an operation on a socket, if it is one and there is one.
    pub fn hash_step(&mut self, operation: &Operation) -> Option<()> {
        use Operation as Op;

        match *operation {
            Op::SetKey { hash, ref key } => self.set_key(hash, key),
            Op::Accept { hash } => self.accept(hash),
            Op::AcceptClone { message } => self.accept_clone(message),
            Op::CloseHash { hash } => {
                let at = Self::pick(hash, self.hashes.len())?;
                self.hashes.swap_remove(at);
                Some(())
            }
            Op::CloseMessage { message } => {
                let at = Self::pick(message, self.messages.len())?;
                self.messages.swap_remove(at);
                Some(())
            }
            Op::Send {
                message,
                data,
                more,
            } => self.send(message, &[data], more),
            Op::SendVectored {
                message,
                ref pieces,
            } => self.send(message, pieces, false),
            Op::SendFileToMessage {
                message,
                offset,
                count,
            } => self.send_file_to_message(message, offset, count),
            Op::SpliceToMessage {
                message,
                pipe,
                count,
                more,
            } => self.splice_to_message(message, pipe, count, more),
            Op::Receive { message, room } => self.receive(message, room),
            _ => None,
        }
    }

    fn message(&mut self, pick: Pick) -> Option<&mut Message> {
        let at = Self::pick(pick, self.messages.len())?;
        Some(&mut self.messages[at])
    }

    fn set_key(&mut self, hash: Pick, key: &[u8]) -> Option<()> {
        let at = Self::pick(hash, self.hashes.len())?;
        let hash = &self.hashes[at];
        let result = hash.socket.set_key(key).errno();
        let seed = <[u8; 4]>::try_from(key).map(u32::from_be_bytes);
        match seed.ok().filter(|&seed| crate::model::is_checksum(seed)) {
            // The kernel keeps the key as it is while messages use it.
            _ if std::rc::Rc::strong_count(&hash.seed) > 1 => {
                assert_eq!(result, Errno::EBUSY, "a key in use");
            }
            Some(seed) => {
                assert_eq!(result, Errno::UnknownErrno, "a key");
                hash.seed.set(seed);
            }
            None => assert_eq!(result, Errno::EINVAL, "an impossible key"),
        }
        Some(())
    }

    fn accept(&mut self, hash: Pick) -> Option<()> {
        let at = Self::pick(hash, self.hashes.len())?;
        if self.messages.len() == MAX {
            return None;
        }
        let hash = &self.hashes[at];
        self.messages.push(Message {
            socket: hash.socket.accept(),
            seed: hash.seed.clone(),
            progress: Progress::Idle,
        });
        Some(())
    }

    fn accept_clone(&mut self, message: Pick) -> Option<()> {
        let at = Self::pick(message, self.messages.len())?;
        if self.messages.len() == MAX {
            return None;
        }
        let message = &self.messages[at];
        let clone = message.accept_clone(message.socket.fork());
        self.messages.push(clone);
        Some(())
    }

    fn send(&mut self, message: Pick, pieces: &[Span], more: bool) -> Option<()> {
        let arena = self.arena;
        let message = self.message(message)?;
        let pieces: Vec<_> = pieces.iter().map(|&piece| arena.data(piece)).collect();
        let mut vectors: Vec<_> = pieces
            .iter()
            .map(|data| memory::iovec(data.address, data.len))
            .collect();
        // SAFETY: The structure can be zero.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = vectors.as_mut_ptr();
        header.msg_iovlen = vectors.len();
        let flags = if more { libc::MSG_MORE } else { 0 };
        let fd = message.socket.as_fd().as_raw_fd();
        // SAFETY: The kernel only reads, and checks the addresses itself.
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
                message.send(&there, more);
            }
            Ok(count) => {
                assert!(count > 0 && count <= there.len(), "short send: {count}");
                // The kernel gives up a message of which a part cannot be read.
                message.progress = Progress::Idle;
            }
            Err(error) => {
                let expected = match error.raw_os_error() {
                    Some(libc::EFAULT) => !whole || foreign,
                    Some(libc::EINVAL) => negative,
                    _ => false,
                };
                assert!(expected, "send: {error}");
                // Whether the socket gave up its message depends on who found out.
                message.receive_either();
            }
        }
        Some(())
    }

    fn send_file_to_message(&mut self, message: Pick, offset: usize, count: usize) -> Option<()> {
        let arena = self.arena;
        let message = self.message(message)?;
        let mut place = offset as i64;
        let fd = message.socket.as_fd().as_raw_fd();
        // SAFETY: The place of the offset can be written to.
        let result =
            transferred(unsafe { libc::sendfile(fd, arena.file.as_raw_fd(), &mut place, count) });
        let there = count.min(MEMORY - offset);
        assert_eq!(result.expect("sendfile"), there, "sendfile");
        if there > 0 {
            let data = &arena.content()[offset..][..there];
            // The kernel ends the message when it has sent all that it was asked for.
            message.send(data, count > there);
        }
        Some(())
    }

    fn splice_to_message(
        &mut self,
        message: Pick,
        pipe: Pipe,
        count: usize,
        more: bool,
    ) -> Option<()> {
        let arena = self.arena;
        let message = self.message(message)?;
        let reader = arena.pipe(pipe);
        let fd = message.socket.as_fd().as_raw_fd();
        let flags = if more { libc::SPLICE_F_MORE } else { 0 };
        let null = std::ptr::null_mut();
        // SAFETY: Null stands for no offset.
        let result =
            transferred(unsafe { libc::splice(reader.as_raw_fd(), null, fd, null, count, flags) });
        let there = count.min(pipe.len);
        assert_eq!(result.expect("splice"), there, "splice");
        message.send(&arena.content()[pipe.offset..][..there], more);
        Some(())
    }

    fn receive(&mut self, message: Pick, room: Room) -> Option<()> {
        let arena = self.arena;
        let message = self.message(message)?;
        let target = arena.target(room);
        let mut vector = memory::iovec(target.address, target.len);
        // SAFETY: The structure can be zero.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_iov = &mut vector;
        header.msg_iovlen = 1;
        let fd = message.socket.as_fd().as_raw_fd();
        // SAFETY: The kernel writes to the sink, or checks that there is nothing.
        let result = transferred(unsafe { libc::recvmsg(fd, &mut header, 0) });
        if target.foreign {
            assert!(result.is_err() || target.len == 0, "received to nowhere");
            message.receive_either();
            return Some(());
        }
        let digest = message.receive().to_be_bytes();
        let wanted = digest.len().min(target.len);
        if target.there < wanted {
            assert_eq!(result.errno(), Errno::EFAULT, "received into a hole");
            return Some(());
        }
        assert_eq!(result.expect("recvmsg"), wanted, "recvmsg");
        arena.check_target(&target, &digest[..wanted]);
        let cut = header.msg_flags & libc::MSG_TRUNC != 0;
        assert_eq!(cut, target.len < digest.len(), "MSG_TRUNC");
        Some(())
    }
}

impl Message {
    /// Receives what is either the message as it was, or none: which of them depends on whether the
    /// kernel looked at an address before the socket did.
    fn receive_either(&mut self) {
        let value = self.socket.value();
        let expected = [self.receive(), self.seed.get()];
        assert!(expected.contains(&value), "received {value:#010x}");
    }
}
