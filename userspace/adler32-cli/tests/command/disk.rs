// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Files on a disk, in the page cache, or both. Some disks are loop devices, which only root can
//! set up.

use std::fs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use adler32::file::Way;
use serde_json::Value;

use super::assert_outcome;
use super::assert_prints;
use super::files;
use super::run_in;
use super::way_of_cached;
use super::Outcome;

const MIB: usize = 1024 * 1024;

/// A file system that is unmounted in the end.
struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        succeeds(Command::new("umount").arg(self.0));
    }
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Returns the place of the block that begins with these bytes.
fn place(disk: &[u8], start: &[u8]) -> u64 {
    let mut blocks = disk.chunks(1024);
    let block = blocks.position(|block| block.starts_with(start));
    1024 * block.expect("the block") as u64
}

#[test]
fn direct_reads_find_what_the_page_cache_hides() {
    let directory = files(&[]);
    let image = directory.path().join("image");
    let mounted = directory.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    File::create(&image)
        .unwrap()
        .set_len(96 * MIB as u64)
        .unwrap();
    let made = succeeds(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
    let mount = |options| {
        succeeds(
            Command::new("mount")
                .args(["-o", options])
                .args([&image, &mounted]),
        )
    };
    if !made || !mount("loop") {
        println!("skipped: no loop device can be mounted here");
        return;
    }
    let unmount = Mounted(&mounted);
    // A file that one thread reads, and one that several threads read.
    for (name, len) in [("short", MIB), ("long", 40 * MIB)] {
        let data: Vec<u8> = (0..len as u32)
            .map(|i| (i.wrapping_mul(i | 1).wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let file = mounted.join(name);
        fs::write(&file, &data).unwrap();
        File::open(&file).unwrap().sync_all().unwrap();
        let sums = run_in(&mounted, &["sum", name]).stdout;
        let list = format!("{name}.list");
        fs::write(mounted.join(&list), &sums).unwrap();
        assert_eq!(run_in(&mounted, &["sum", "--direct", name]).stdout, sums);

        let disk = fs::read(&image).unwrap();
        let marker = &data[len / 2..][..64];
        let at = place(&disk, marker);
        let disk = File::options().write(true).open(&image).unwrap();
        disk.write_all_at(&[!marker[0]], at).unwrap();

        let ok = format!("{name}: OK\n");
        assert_prints(run_in(&mounted, &["sum", "-c", &list]), &ok);
        assert_outcome(
            run_in(&mounted, &["sum", "-c", "--direct", &list]),
            &format!("{name}: FAILED\n"),
            "adler32: WARNING: 1 computed checksum did NOT match\n",
            1,
        );
    }
    // The end of the disk fails.
    let failure = "adler32: long: Input/output error\n";
    let disk = File::options().write(true).open(&image).unwrap();
    let all = fs::read(&image).unwrap();
    let last = fs::read(mounted.join("long")).unwrap().split_off(39 * MIB);
    disk.set_len(place(&all, &last[..64])).unwrap();
    let long = File::open(mounted.join("long")).unwrap();
    for arguments in [
        &["--direct"][..],
        &["--threads", "1"],
        &["--threads", "3"],
        &[],
    ] {
        rustix::fs::fadvise(&long, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let arguments = [&["sum"], arguments, &["long"]].concat();
        assert_outcome(run_in(&mounted, &arguments), "", failure, 2);
    }
    drop(long);
    drop(unmount);
}

#[test]
fn reports_how_the_bytes_came() {
    const DATA: usize = 40 * MIB;
    const LEN: usize = 2 * DATA;
    let directory = files(&[("file", &vec![7; DATA])]);
    let file = File::options()
        .write(true)
        .open(directory.path().join("file"));
    let file = file.unwrap();
    file.set_len(LEN as u64).unwrap();
    file.sync_all().unwrap();
    let ways = |arguments: &[&str]| {
        let sum = run_in(
            &directory,
            &[&["sum", "--json"], arguments, &["file"]].concat(),
        );
        let object: Value = serde_json::from_str(&sum.stdout).expect("an object");
        let ways = Way::ALL.map(|way| object["ways"][way.name()].as_u64().unwrap_or(0) as usize);
        assert_eq!(ways.iter().sum::<usize>(), LEN, "{object}");
        move |way: Way| ways[way as usize]
    };
    let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(0));
    if hole != Ok(DATA as u64) || way_of_cached(&directory) != Way::Cache.name() {
        println!("skipped: the file system does not report holes, or what is in the page cache");
        return;
    }
    let warm = ways(&[]);
    assert_eq!(warm(Way::Hole), LEN - DATA);
    // Other programs may need the memory.
    let data = [Way::Read, Way::Cache, Way::Disk, Way::Direct].map(&warm);
    assert_eq!(data.iter().sum::<usize>(), DATA);
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let direct = ways(&["--direct"]);
    assert_eq!([direct(Way::Direct), direct(Way::Hole)], [DATA, LEN - DATA]);
    let cold = ways(&[]);
    let from_disk = cold(Way::Direct) + cold(Way::Disk);
    assert!(from_disk > DATA / 2, "{from_disk}");
    assert_eq!(cold(Way::Hole), LEN - DATA);
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    let one = ways(&["--threads", "1"]);
    // After the first read that waits, the file counts as not cached.
    assert!(one(Way::Disk) > DATA / 2, "{}", one(Way::Disk));
    assert_eq!([one(Way::Direct), one(Way::Hole)], [0, LEN - DATA]);
}

/// Threads that find no memory leave the work to the others.
#[test]
fn sums_long_files_with_little_memory() {
    let directory = files(&[("file", &vec![7; 160 * MIB])]);
    let sum = run_in(&directory, &["sum", "--threads", "1", "file"]);
    for kib in [80_000, 100_000, 150_000, 200_000, 300_000] {
        let output = Command::new("sh")
            .args([
                "-c",
                &format!("ulimit -v {kib} && exec \"$0\" sum --threads 16 file"),
            ])
            .arg(env!("CARGO_BIN_EXE_adler32"))
            .current_dir(&directory)
            .output();
        assert_eq!(Outcome::from(output.unwrap()), sum, "{kib} KiB");
    }
}

/// On overlayfs, on which containers run, the kernel counts the cached pages of the wrong file.
#[test]
fn cached_files_on_overlayfs_are_read_from_the_cache() {
    let directory = files(&[]);
    let [lower, upper, work, mounted] = ["lower", "upper", "work", "mounted"].map(|name| {
        let made = directory.path().join(name);
        fs::create_dir(&made).unwrap();
        made
    });
    fs::write(lower.join("file"), vec![7; 40 * MIB]).unwrap();
    let [lower, upper, work] = [lower, upper, work].map(|path| path.display().to_string());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    if !succeeds(
        Command::new("mount")
            .args(["-t", "overlay", "-o", &options, "overlay"])
            .arg(&mounted),
    ) {
        println!("skipped: overlayfs cannot be mounted here");
        return;
    }
    let unmount = Mounted(&mounted);
    fs::read(mounted.join("file")).unwrap();
    let sum = run_in(&mounted, &["sum", "--json", "file"]);
    let object: Value = serde_json::from_str(&sum.stdout).expect("an object");
    assert_eq!(object["ways"]["direct"], Value::Null, "{object}");
    drop(unmount);
}
