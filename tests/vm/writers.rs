// SPDX-License-Identifier: GPL-2.0 OR MIT

//! Programs that write files, with the device as their output. Afterwards the checksum is right, or
//! the program has failed.

use std::fs;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::thread;

use libtest_mimic::Completion;
use libtest_mimic::Trial;

use adler32_tests::device;
use adler32_tests::files;
use adler32_tests::module;
use adler32_tests::reference;
use adler32_tests::ring;
use adler32_tests::ring::Ring;
use adler32_tests::sh;
use adler32_tests::trial;
use adler32_tests::try_sh;

/// Commands that write the file `$f`, in bash. A command that names the device, `$D`, opens it. The
/// others write to their standard output, which the shell opens in each mode.
struct Writer {
    name: &'static str,
    /// The program without which the commands are skipped.
    program: &'static str,
    /// What makes other files of `$f`, if the commands need them.
    prepare: &'static str,
    /// The file that the commands write.
    content: &'static str,
    /// These must succeed.
    right: &'static [&'static str],
    /// These may fail.
    either: &'static [&'static str],
    /// These must fail, unless the file is empty.
    fail: &'static [&'static str],
}

const WRITER: Writer = Writer {
    name: "",
    program: "",
    prepare: "",
    content: "$f",
    right: &[],
    either: &[],
    fail: &[],
};

const WRITERS: &[Writer] = &[
    Writer {
        name: "coreutils",
        program: "cat",
        right: &[
            "cat $f",
            "head -c 100000000 $f",
            "tail -c +1 $f",
            "tee < $f",
            "tee $D < $f > /dev/null",
            "tee -a $D < $f > /dev/null",
            "cp $f $D",
            "cp --sparse=always $f $D",
            "split -b 100K --filter='cat >> $D' $f",
            "cp $f /dev/stdout > $D",
            "cp $f /dev/stdout >> $D",
            "(cp $f /dev/stdout; exec 6>&1) > $D",
            "cp $f /dev/fd/6 6> $D",
            "cat $f | cp /dev/stdin /dev/stdout > $D",
            "tee /dev/stdout < $f > $D",
            "tee /dev/stderr < $f 2> $D > /dev/null",
        ],
        fail: &["truncate -s 0 $D", "truncate -s 5 $D", "fallocate -l 5 $D"],
        ..WRITER
    },
    Writer {
        name: "dd",
        program: "dd",
        right: &[
            "dd if=$f bs=777",
            "dd if=$f of=$D bs=1M",
            "dd if=$f of=$D conv=notrunc oflag=append",
            "dd if=$f oflag=dsync",
            "dd if=$f oflag=nonblock",
            "dd if=$f conv=sparse",
            "dd if=$f conv=sparse bs=$(($(stat -c %s $f) < 6000 ? 4 : 512))",
            "dd if=$f of=$D conv=sparse,notrunc bs=4096",
            "dd if=$f of=/dev/stdout > $D",
            "dd if=$f conv=fsync",
            "dd if=$f conv=fdatasync",
            "dd if=$f of=$D conv=fsync",
            "dd if=$f of=$D conv=fdatasync oflag=sync",
        ],
        fail: &[
            "dd if=$f oflag=direct",
            "dd if=$f of=$D oflag=direct",
        ],
        ..WRITER
    },
    Writer {
        name: "dd_after_a_hole",
        program: "dd",
        prepare: "{ head -c 512 /dev/zero; cat $f; } > ../$f.hole",
        content: "../$f.hole",
        fail: &[
            "dd if=$f seek=1",
            "dd if=$f of=$D seek=1",
            "dd if=$f of=$D seek=3 bs=1",
            "dd if=$f of=$D seek=99999901 bs=1",
        ],
        ..WRITER
    },
    Writer {
        name: "busybox",
        program: "busybox",
        right: &[
            "busybox cat $f",
            "busybox cp $f $D",
            "busybox tee < $f",
            "busybox dd if=$f bs=777",
            "busybox dd if=$f of=$D conv=notrunc",
            "busybox dd if=$f of=$D conv=fsync",
            "busybox cp $f /dev/stdout > $D",
            "busybox tee /dev/stdout < $f > $D",
        ],
        ..WRITER
    },
    Writer {
        name: "zstd",
        program: "zstd",
        prepare: "zstd -q1 $f -o ../$f.zst",
        right: &[
            "zstd -dcq ../$f.zst",
            "zstd -dcq --no-sparse ../$f.zst",
            "zstd -dqf --no-sparse ../$f.zst -o $D",
        ],
        either: &["zstd -dcq --sparse ../$f.zst", "zstd -dqf --sparse ../$f.zst -o $D"],
        ..WRITER
    },
    Writer {
        name: "xz_and_gzip",
        program: "xz",
        prepare: "xz -0 < $f > ../$f.xz; gzip -1 < $f > ../$f.gz",
        right: &["xz -dc ../$f.xz", "gzip -dc ../$f.gz"],
        ..WRITER
    },
    Writer {
        name: "tar",
        program: "tar",
        prepare: "tar -cf ../$f.tar $f",
        content: "../$f.tar",
        right: &["tar -cf - $f", "tar -cf $D $f"],
        ..WRITER
    },
    Writer {
        name: "tar_extracts",
        program: "tar",
        prepare: "tar -cSf ../$f.tar $f",
        right: &["tar -xOf ../$f.tar"],
        ..WRITER
    },
    Writer {
        name: "rsync",
        program: "rsync",
        right: &["rsync --write-devices $f $D", "rsync --inplace --write-devices $f $D"],
        either: &[
            "rsync --sparse --write-devices $f $D",
            "rsync --no-whole-file --write-devices $f $D",
        ],
        ..WRITER
    },
    Writer {
        name: "curl",
        program: "curl",
        right: &["curl -s file://$PWD/$f", "curl -so $D file://$PWD/$f"],
        either: &["curl -sC - -o $D file://$PWD/$f"],
        ..WRITER
    },
    Writer {
        name: "socat",
        program: "socat",
        right: &["socat -u FILE:$f STDOUT", "socat -u FILE:$f OPEN:$D,wronly"],
        ..WRITER
    },
    Writer {
        name: "pv",
        program: "pv",
        right: &["pv -q $f", "pv -qC $f", "pv -qo $D $f"],
        either: &["pv -qO $f"],
        ..WRITER
    },
    Writer {
        name: "python",
        program: "python3",
        right: &[
            "python3 -c 'import shutil, sys; shutil.copyfile(sys.argv[1], sys.argv[2])' $f $D",
            "python3 -c 'import sys; open(sys.argv[2], \"ab\").write(open(sys.argv[1], \"rb\").read())' $f $D",
            r#"python3 -c '
import mmap, os, sys
source = os.open(sys.argv[1], os.O_RDONLY)
if os.fstat(source).st_size:
    sys.stdout.buffer.write(mmap.mmap(source, 0, prot=mmap.PROT_READ))
' $f"#,
            r#"python3 -c '
import os, sys
data, at = open(sys.argv[1], "rb").read(), 0
while at < len(data):
    at += os.pwrite(1, data[at:at + 100000], at)
' $f"#,
        ],
        either: &[
            // The kernel refuses a sendfile to a file that is open for appending.
            r#"python3 -c '
import os, sys
source, at = os.open(sys.argv[1], os.O_RDONLY), 0
while at < os.fstat(source).st_size:
    at += os.sendfile(1, source, at, 1 << 30)
' $f"#,
            // The last block first.
            r#"python3 -c '
import os, sys
data = open(sys.argv[1], "rb").read()
for at in reversed(range(0, len(data), 4096)):
    block = data[at:at + 4096]
    assert os.pwrite(1, block, at) == len(block)
' $f"#,
        ],
        fail: &[
            // A header that is written last.
            r#"python3 -c '
import sys
with open(sys.argv[2], "wb") as device:
    device.write(b"?" + open(sys.argv[1], "rb").read()[1:])
    device.seek(0)
    device.write(open(sys.argv[1], "rb").read()[:1])
' $f $D"#,
            r#"python3 -c '
import mmap, os, sys
mmap.mmap(os.open(sys.argv[2], os.O_RDWR), 4096)
' $f $D"#,
        ],
        ..WRITER
    },
    Writer {
        name: "perl",
        program: "perl",
        right: &[
            "perl -pe '' $f",
            "perl -MFile::Copy -e 'copy($ARGV[0], $ARGV[1]) or die' $f $D",
            "perl -e 'open F, $ARGV[0]; binmode F; while (sysread F, $_, 5000) { syswrite(STDOUT, $_) == length or die }' $f",
        ],
        fail: &[
            "perl -e 'open F, $ARGV[0]; local $/; $_ = <F>; print or die; seek(STDOUT, 0, 0) or die; print or die; close STDOUT or die' $f",
        ],
        ..WRITER
    },
    Writer {
        name: "go",
        program: "writer-go",
        right: &["writer-go $f", "writer-go $f $D"],
        ..WRITER
    },
];

/// Writes data to an open file.
type Function = fn(&[u8], &File) -> io::Result<()>;

/// The names of functions, and whether they must succeed.
const FUNCTIONS: &[(&str, bool, Function)] = &[
    ("rust_copy", true, |data, file| {
        io::copy(&mut files::file_of(data), &mut &*file).map(drop)
    }),
    ("pwrite_in_order", true, |data, file| {
        pwrite_each(blocks(data), file)
    }),
    ("pwrite_in_reverse", false, |data, file| {
        pwrite_each(blocks(data).rev(), file)
    }),
    ("pwrite_around_zeros", false, |data, file| {
        let full = |block: &(u64, &[u8])| block.1.iter().any(|&byte| byte != 0);
        pwrite_each(blocks(data).filter(full), file)?;
        match data.last() {
            Some(0) => file.set_len(data.len() as u64),
            _ => Ok(()),
        }
    }),
    ("pwrite_in_parallel", false, pwrite_in_parallel),
    ("ring_in_order", true, |data, file| {
        ring_each(blocks(data), file)
    }),
    ("ring_in_reverse", false, |data, file| {
        ring_each(blocks(data).rev(), file)
    }),
    ("ring_at_once", false, ring_at_once),
];

/// The names of the modes, as shells write them, and what they pass to `open(2)`.
const MODES: [(&str, i32); 3] = [
    (">", libc::O_WRONLY),
    (">>", libc::O_WRONLY | libc::O_APPEND),
    ("<>", libc::O_RDWR),
];

/// What the slot covers before a program writes.
const BEFORE: &[u8] = b"before";

/// The names and the contents of files.
type Files = fn() -> Vec<(&'static str, Vec<u8>)>;

/// The ends of the names of tests, and the files of these tests.
const FILES: [(&str, Files); 2] = [("", files), ("_more_files", more_files)];

pub fn trials() -> Vec<Trial> {
    let commands = WRITERS.iter().flat_map(|writer| {
        FILES.map(|(end, files)| {
            let name = format!("{}{end}", writer.name);
            trial("writers", &name, module::ensure_loaded, move || {
                writer.test(files())
            })
        })
    });
    let functions = FUNCTIONS.iter().map(|&(name, succeeds, write)| {
        trial("writers", name, module::ensure_loaded, move || {
            test_function(succeeds, write)
        })
    });
    commands.chain(functions).collect()
}

/// Many programs treat zeros in a special way.
const ZEROS: &[u8] = &[0; 100_000];

fn noise() -> Vec<u8> {
    reference::noise((2 << 20) + 3, 91)
}

/// Returns the files of the tests that are always run.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let noise = noise();
    vec![
        ("0", Vec::new()),
        ("32K+1", noise[..(32 << 10) + 1].to_vec()),
        ("zeros-first", [ZEROS, &noise[..5000]].concat()),
        ("zeros-last", [&noise[..4096], ZEROS].concat()),
        ("4-zeros-last", [&noise[..512], &[0; 4]].concat()),
        ("2M+3", noise),
    ]
}

/// Returns the files of the tests that only long runs include.
fn more_files() -> Vec<(&'static str, Vec<u8>)> {
    let noise = noise();
    vec![
        ("1", noise[..1].to_vec()),
        ("32K-1", noise[..(32 << 10) - 1].to_vec()),
        ("32K", noise[..32 << 10].to_vec()),
        (
            "zeros-amid",
            [&noise[..4096], ZEROS, &noise[4096..9000]].concat(),
        ),
    ]
}

/// Returns the checksum that a session in `mode` must have after `data` was written.
fn expected(mode: &str, data: &[u8]) -> u32 {
    let start = if mode == ">>" {
        reference::adler(BEFORE)
    } else {
        1
    };
    reference::append(start, data)
}

impl Writer {
    fn test(&self, files: Vec<(&str, Vec<u8>)>) -> Completion {
        if !try_sh(&format!("command -v {}", self.program)).0 {
            return Completion::ignored_with(format!("{} is not installed", self.program));
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let originals = directory.path().join("files");
        fs::create_dir(&originals).expect("mkdir");
        for (name, data) in files {
            fs::write(originals.join(name), data).expect("write");
        }
        sh(&format!(
            "set -e; cd {}; for f in *; do {}; done",
            originals.display(),
            if self.prepare.is_empty() {
                ":"
            } else {
                self.prepare
            },
        ));
        for command in self.right {
            self.run(command, &originals, |_| Some(true));
        }
        for command in self.either {
            self.run(command, &originals, |_| None);
        }
        for command in self.fail {
            self.run(command, &originals, |name| (name != "0").then_some(false));
        }
        let node = fs::metadata(device::NODE).expect("the node is there");
        assert!(node.file_type().is_char_device());
        Completion::Completed
    }

    /// Runs a command on each file, in each mode. `must` returns whether it must succeed or fail.
    fn run(&self, command: &str, originals: &Path, must: impl Fn(&str) -> Option<bool>) {
        let opens = command.contains("$D");
        let (modes, output) = match opens {
            true => ("-", ""),
            false => ("'>' '>>' '<>'", ">&5 5>&-"),
        };
        let results = sh(&format!(
            r#"
            cd {originals}
            export D={node}
            for f in *; do
                for mode in {modes}; do
                    case $mode in
                        -) : > $D ;;
                        *) printf {before} > $D; eval "exec 5$mode$D" ;;
                    esac
                    ({command}) {output} 2> ../errors < /dev/null
                    status=$?
                    case $mode in
                        -) read -r value < $D ;;
                        *) while read -r key value && [ $key != adler32-value: ]; do :; done \
                            < /proc/self/fdinfo/5
                            exec 5>&- ;;
                    esac
                    error=
                    read -r error < ../errors
                    echo "$f $mode $status $value {content} $error"
                done
            done
            "#,
            originals = originals.display(),
            node = device::NODE,
            before = std::str::from_utf8(BEFORE).expect("text"),
            content = self.content,
        ));
        for line in results.lines() {
            let case = format!("`{command}`: {line}");
            let mut words = line.split(' ');
            let mut word = || words.next().expect(&case);
            let (name, mode, status, value, content) = (word(), word(), word(), word(), word());
            // No error of the shell: there is such a command.
            assert!(!["126", "127"].contains(&status), "{case}");
            let success = status == "0";
            if let Some(must) = must(name) {
                assert_eq!(success, must, "{case}");
            }
            let data = fs::read(originals.join(content)).expect(content);
            let right = format!("{:08x}", expected(mode, &data));
            assert!(!success || value == right, "{case}: not {right}");
        }
    }
}

fn test_function(succeeds: bool, write: Function) {
    for (name, data) in files().into_iter().chain(more_files()) {
        for (mode, flags) in MODES {
            device::publish(BEFORE);
            let file = device::open(flags).expect("open");
            let result = write(&data, &file);
            let value = device::fdinfo_state("self", file.as_raw_fd()).value;
            let case = format!("{mode} of {name}: {result:?}, {value:08x}");
            assert!(result.is_ok() || !succeeds, "{case}");
            let right = expected(mode, &data);
            assert!(result.is_err() || value == right, "{case}: not {right:08x}");
        }
    }
}

/// Returns the blocks of a file, each with its offset.
fn blocks(data: &[u8]) -> impl DoubleEndedIterator<Item = (u64, &[u8])> + ExactSizeIterator {
    const BLOCK: usize = 16 << 10;
    let blocks = data.chunks(BLOCK).enumerate();
    blocks.map(|(number, block)| ((number * BLOCK) as u64, block))
}

fn pwrite_each<'a>(
    mut blocks: impl Iterator<Item = (u64, &'a [u8])>,
    file: &File,
) -> io::Result<()> {
    blocks.try_for_each(|(offset, block)| file.write_all_at(block, offset))
}

/// Writes each quarter of a file in a thread, as programs do that download parts in parallel.
fn pwrite_in_parallel(data: &[u8], file: &File) -> io::Result<()> {
    let blocks: Vec<_> = blocks(data).collect();
    let quarters = blocks.chunks(blocks.len().div_ceil(4).max(1));
    thread::scope(|scope| {
        let threads: Vec<_> = quarters
            .map(|quarter| scope.spawn(|| pwrite_each(quarter.iter().copied(), file)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("the thread ends"))
    })
}

fn ring_each<'a>(mut blocks: impl Iterator<Item = (u64, &'a [u8])>, file: &File) -> io::Result<()> {
    let mut ring = Ring::open();
    blocks.try_for_each(|block| whole(ring.run_one(request(block, file)), block))
}

/// Submits eight blocks at a time.
fn ring_at_once(data: &[u8], file: &File) -> io::Result<()> {
    let mut ring = Ring::open();
    let blocks: Vec<_> = blocks(data).collect();
    for eight in blocks.chunks(8) {
        let block = |number: usize| eight.get(number).copied().unwrap_or((0, &[]));
        let results = ring.run::<8>(std::array::from_fn(|number| request(block(number), file)));
        for (number, result) in results.into_iter().enumerate() {
            whole(result, block(number))?;
        }
    }
    Ok(())
}

fn request((offset, block): (u64, &[u8]), file: &File) -> io_uring::squeue::Entry {
    ring::write_at(file, block.as_ptr() as usize, block.len(), offset)
}

/// Returns an error if a write did not take its whole block.
fn whole(written: io::Result<usize>, (_, block): (u64, &[u8])) -> io::Result<()> {
    match written? {
        written if written == block.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}
