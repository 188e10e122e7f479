// SPDX-License-Identifier: GPL-2.0 OR MIT

//! The hash as other kernel code uses it: a test module, and dm-integrity.

use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::errno::Errno;
use tempfile::TempDir;

use adler32_tests::module;
use adler32_tests::module::Log;
use adler32_tests::reference;
use adler32_tests::sh;
use adler32_tests::trials;
use adler32_tests::try_sh;
use adler32_tests::ErrnoOf;

trials!(after module::ensure_unloaded:
    kernel_user_agrees,
    mapping_reads_what_was_written,
    mapping_holds_the_module,
    mapping_notices_corruption,
);

/// The init function of the test module checks the hash. The kernel loads the module adler32 for it
/// on demand.
///
/// The checks include digests in interrupts, in some of which vector registers cannot be used. The
/// test module loads only if it has seen such an interrupt, except in User Mode Linux, where vector
/// registers can always be used.
fn kernel_user_agrees() {
    let mut log = Log::from_now();
    let loaded = module::load("adler32_consumer", "");
    assert_eq!(loaded, Ok(()), "{:#?}", log.of_module());
    assert!(module::is_loaded());
    sh("rmmod adler32_consumer");
    module::unload();
}

/// A dm-integrity mapping with adler32 on a file.
struct Mapping {
    directory: TempDir,
    open: bool,
}

impl Mapping {
    const NAME: &'static str = "adler32-test";

    fn format() -> Self {
        sh("modprobe loop");
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut mapping = Self {
            directory,
            open: false,
        };
        let backing = mapping.backing();
        let file = File::create(&backing).expect("the backing file");
        file.set_len(4 << 20).expect("the backing file");
        let backing = backing.display();
        sh(&format!(
            "integritysetup format --batch-mode --integrity adler32 --tag-size 4 {backing}"
        ));
        mapping.open();
        mapping
    }

    fn backing(&self) -> PathBuf {
        self.directory.path().join("backing")
    }

    fn device(&self) -> PathBuf {
        PathBuf::from("/dev/mapper").join(Self::NAME)
    }

    fn open(&mut self) {
        let (name, backing) = (Self::NAME, self.backing());
        let backing = backing.display();
        sh(&format!(
            "integritysetup open --integrity adler32 {backing} {name}"
        ));
        self.open = true;
    }

    fn close(&mut self) {
        sh(&format!("integritysetup close {}", Self::NAME));
        self.open = false;
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.open {
            let _ = try_sh(&format!("integritysetup close {}", Self::NAME));
        }
    }
}

fn mapping_reads_what_was_written() {
    let mut mapping = Mapping::format();
    assert!(module::is_loaded(), "the mapping did not load the module");
    let data = reference::noise(1 << 20, 60);
    let mut device = File::options()
        .write(true)
        .open(mapping.device())
        .expect("open");
    device.write_all(&data).expect("write");
    device.sync_all().expect("fsync");
    drop(device);
    // Later reads come from the backing file, not from a cache.
    mapping.close();
    module::unload();
    mapping.open();
    let mut found = vec![0; data.len()];
    File::open(mapping.device())
        .expect("open")
        .read_exact(&mut found)
        .expect("read");
    assert!(found == data, "the mapping returned other data");
    mapping.close();
    module::unload();
}

fn mapping_holds_the_module() {
    let mut mapping = Mapping::format();
    assert!(module::refcount() > Some(0));
    assert_eq!(module::try_unload().errno(), Errno::EWOULDBLOCK);
    let (success, output) = try_sh("rmmod adler32");
    assert!(!success && output.contains("in use"), "{output}");
    mapping.close();
    module::unload();
    module::assert_absent();
}

fn mapping_notices_corruption() {
    const MARK: &[u8] = b"a sector to be found in the backing file";
    let mut mapping = Mapping::format();
    let device = File::options()
        .write(true)
        .open(mapping.device())
        .expect("open");
    device.write_all_at(MARK, 64 << 10).expect("write");
    device.sync_all().expect("fsync");
    drop(device);
    mapping.close();

    let mut content = fs::read(mapping.backing()).expect("the backing file");
    let places: Vec<_> = content
        .windows(MARK.len())
        .enumerate()
        .filter_map(|(place, window)| (window == MARK).then_some(place))
        .collect();
    // The data, and perhaps a copy in the journal.
    assert!(!places.is_empty(), "the data is not in the backing file");
    for place in places {
        content[place] ^= 1;
    }
    fs::write(mapping.backing(), content).expect("the backing file");

    mapping.open();
    let device = File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(mapping.device())
        .expect("open");
    let mut sector = adler32_tests::memory::Map::new(4096);
    let read = device.read_at(&mut sector.bytes()[..4096], 64 << 10);
    assert!(
        [Errno::EILSEQ, Errno::EIO].contains(&read.errno()),
        "the read did not fail"
    );
    device
        .read_at(&mut sector.bytes()[..4096], 1 << 20)
        .expect("a sector that is not corrupt can be read");
    drop(device);
    mapping.close();
    module::unload();
}
