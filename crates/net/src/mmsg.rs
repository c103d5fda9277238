//! Many datagrams for one system call: recvmmsg and sendmmsg, the only unsafe code of this crate.
//! A shred burst is thousands of packets in a few milliseconds; a call for each would be most of the cost.

use {
    socket2::SockAddr,
    std::{
        io, mem,
        net::{SocketAddr, UdpSocket},
        os::fd::AsRawFd,
        ptr,
    },
};

/// Messages for one call.
pub(crate) const BATCH: usize = 64;

/// Room for one datagram: a little more than the protocol's largest, so that a longer one is seen as such.
const SLOT_BYTES: usize = 2048;

/// Reusable buffers for `recv`.
pub(crate) struct RecvBatch {
    bytes: Vec<[u8; SLOT_BYTES]>,
    names: Vec<libc::sockaddr_storage>,
}

impl RecvBatch {
    pub(crate) fn new() -> Self {
        // SAFETY: sockaddr_storage is plain integers; all zeroes is a valid value (family AF_UNSPEC).
        let name: libc::sockaddr_storage = unsafe { mem::zeroed() };
        Self { bytes: vec![[0; SLOT_BYTES]; BATCH], names: vec![name; BATCH] }
    }

    /// Waits for at least one datagram (as long as the socket's read timeout), takes what is there, and hands each to
    /// `each` with its sender; datagrams of an unknown address family or cut off by the buffer come as `None`.
    pub(crate) fn recv(
        &mut self,
        socket: &UdpSocket,
        mut each: impl FnMut(Option<(SocketAddr, &[u8])>),
    ) -> io::Result<usize> {
        let mut iovecs: Vec<libc::iovec> = self
            .bytes
            .iter_mut()
            .map(|slot| libc::iovec { iov_base: slot.as_mut_ptr().cast(), iov_len: SLOT_BYTES })
            .collect();
        let mut headers: Vec<libc::mmsghdr> = iovecs
            .iter_mut()
            .zip(&mut self.names)
            .map(|(iovec, name)| {
                // SAFETY: mmsghdr is integers and pointers; all zeroes (null pointers) is a valid value.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_iov = iovec;
                header.msg_hdr.msg_iovlen = 1;
                header.msg_hdr.msg_name = ptr::from_mut(name).cast();
                header.msg_hdr.msg_namelen = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
                header
            })
            .collect();
        // SAFETY: each header points to one iovec of `iovecs`, which points to one slot of `self.bytes`, and to one name
        // of `self.names`; all of them outlive the call and none is aliased. BATCH headers are valid to write.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_WAITFORONE as _,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_negative| io::Error::last_os_error())?;
        for (index, header) in headers.iter().take(count).enumerate() {
            let cut = header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
            let length = (header.msg_len as usize).min(SLOT_BYTES);
            let from = socket_addr(&self.names[index], header.msg_hdr.msg_namelen);
            match from {
                Some(from) if !cut => each(Some((from, &self.bytes[index][..length]))),
                Some(_) | None => each(None),
            }
        }
        Ok(count)
    }
}

/// Sends up to `BATCH` datagrams; returns how many the kernel took (at least one, or an error about the first).
pub(crate) fn send(socket: &UdpSocket, datagrams: &[(SocketAddr, &[u8])]) -> io::Result<usize> {
    let datagrams = &datagrams[..datagrams.len().min(BATCH)];
    let names: Vec<SockAddr> = datagrams.iter().map(|(to, _)| SockAddr::from(*to)).collect();
    let mut iovecs: Vec<libc::iovec> = datagrams
        .iter()
        .map(|(_, bytes)| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = iovecs
        .iter_mut()
        .zip(&names)
        .map(|(iovec, name)| {
            // SAFETY: mmsghdr is integers and pointers; all zeroes (null pointers) is a valid value.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_iov = iovec;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len();
            header
        })
        .collect();
    // SAFETY: the kernel only reads through the names and iovecs here, which point into `names` and `datagrams` and
    // outlive the call; `headers` has exactly the length given.
    let sent = unsafe {
        libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), headers.len() as libc::c_uint, libc::MSG_NOSIGNAL as _)
    };
    usize::try_from(sent).map_err(|_negative| io::Error::last_os_error())
}

fn socket_addr(name: &libc::sockaddr_storage, length: libc::socklen_t) -> Option<SocketAddr> {
    if length as usize > mem::size_of::<libc::sockaddr_storage>() {
        return None;
    }
    // SAFETY: the storage has room for a whole sockaddr_storage; what is copied is what the kernel wrote, with its length.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, len| {
            storage.cast::<libc::sockaddr_storage>().write(*name);
            *len = length;
            Ok(())
        })
    }
    .ok()?;
    address.as_socket()
}
