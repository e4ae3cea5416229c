//! Files on a real disk, served to a shard that is this thread: what is found, what is refused,
//! what is noticed, and what happens at the limits.
#![allow(clippy::disallowed_methods, reason = "waits for another thread, by the real clock")]

#[path = "files/scratch.rs"]
mod scratch;

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use scratch::{Scene, Scratch, large, whole};
use shards_storage::{
    Coding, Codings, Content, Download, File, FileError, FileEvent, FileLimits, Find,
};

const LIMITS: FileLimits = FileLimits {
    questions_max: 4096,
    open_files_max: 16,
    read_bytes_max: 1 << 20,
    block_bytes: 64 * 1024,
    disk_reads_max: 4,
    small_file_bytes_max: 16 * 1024,
    cache_bytes_max: 1 << 20,
    cache_files_max: 64,
    cache_fresh: Duration::from_secs(1),
};

#[test]
fn a_small_file_comes_whole_and_from_the_cache_the_second_time() {
    let mut scene = Scene::new("small", LIMITS);
    scene.write("a.txt", b"hello");
    let file = scene.find("a.txt").unwrap();
    assert_eq!(whole(&file), b"hello");
    assert_eq!((file.info.size_bytes(), file.info.coding), (5, Coding::Identity));
    assert!(!file.info.has_variants);
    assert!(file.info.modified_unix_seconds() > 1_600_000_000);
    let root = scene.root;
    let now = scene.now;
    match scene.files.find(now, root, "a.txt", Codings::default(), 7) {
        Find::Here(again) => assert_eq!(again.info, file.info),
        other => panic!("{other:?}"),
    }
    assert_eq!((scene.files.counters().cache_hits, scene.files.counters().questions), (1, 1));
    scene.write("empty", b"");
    assert_eq!(whole(&scene.find("empty").unwrap()), b"");
}

#[test]
fn a_cached_file_is_asked_after_once_a_second_and_its_change_is_seen() {
    let mut scene = Scene::new("stale", LIMITS);
    scene.write("a", b"one");
    let first = scene.find("a").unwrap();
    scene.now += Duration::from_secs(2);
    let same = scene.find("a").unwrap();
    assert_eq!((whole(&same), same.info), (&b"one"[..], first.info));
    assert_eq!(scene.files.counters().read_bytes, 3, "it was not read again");
    // Another file takes its name.
    scene.write("b", b"three");
    fs::rename(scene.path("b"), scene.path("a")).unwrap();
    assert_eq!(whole(&scene.find("a").unwrap()), b"one", "it is fresh");
    scene.now += Duration::from_secs(2);
    let second = scene.find("a").unwrap();
    assert_eq!(whole(&second), b"three");
    assert_ne!(second.info.etag(), first.info.etag());
    fs::remove_file(scene.path("a")).unwrap();
    scene.now += Duration::from_secs(2);
    assert_eq!(scene.find("a").unwrap_err(), FileError::NotFound);
}

#[test]
fn nothing_outside_the_root_and_nothing_hidden_is_served() {
    let mut scene = Scene::new("escape", LIMITS);
    let outside = Scratch::new("outside");
    fs::write(outside.path("secret"), b"secret").unwrap();
    symlink(outside.path("secret"), scene.path("absolute")).unwrap();
    let name = outside.0.file_name().unwrap().to_str().unwrap().to_owned();
    symlink(format!("../{name}/secret"), scene.path("relative")).unwrap();
    symlink(&outside.0, scene.path("folder-link")).unwrap();
    symlink("loop", scene.path("loop")).unwrap();
    symlink("/proc/self/root", scene.path("magic")).unwrap();
    fs::create_dir(scene.path("folder")).unwrap();
    scene.write("folder/inner", b"inner");
    symlink("folder/inner", scene.path("good-link")).unwrap();
    scene.write(".hidden", b"hidden");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        scene.path("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(scene.path("socket")).unwrap();

    for path in ["absolute", "relative", "folder-link/secret", "loop", "magic/etc/passwd"] {
        assert_eq!(scene.find(path).unwrap_err(), FileError::Refused, "{path}");
    }
    for path in ["fifo", "socket", ".hidden", "../escape", "folder/../folder/inner", "/etc/passwd"]
    {
        assert_eq!(scene.find(path).unwrap_err(), FileError::Refused, "{path}");
    }
    for path in ["a\0b", "folder\\inner", "%2e%2e/x", "folder%2finner", "", "folder/"] {
        assert_eq!(scene.find(path).unwrap_err(), FileError::Refused, "{path}");
    }
    assert_eq!(scene.find("folder").unwrap_err(), FileError::Directory);
    assert_eq!(scene.find("missing").unwrap_err(), FileError::NotFound);
    assert_eq!(scene.find("folder/inner/more").unwrap_err(), FileError::NotFound);
    assert_eq!(whole(&scene.find("folder/inner").unwrap()), b"inner");
    assert_eq!(whole(&scene.find("good-link").unwrap()), b"inner");
}

#[test]
fn a_precompressed_variant_is_taken_by_who_can_use_it() {
    let mut scene = Scene::new("variants", LIMITS);
    scene.write("a.css", b"plain");
    scene.write("a.css.gz", b"gzip");
    let gzip = Codings { gzip: true, brotli: false };
    let both = Codings { gzip: true, brotli: true };
    let plain = scene.find("a.css").unwrap();
    assert_eq!((whole(&plain), plain.info.has_variants), (&b"plain"[..], true));
    let found = scene.find_with("a.css", both).unwrap();
    assert_eq!((whole(&found), found.info.coding), (&b"gzip"[..], Coding::Gzip));
    assert_ne!(found.info.etag(), plain.info.etag());
    scene.write("a.css.br", b"brotli");
    scene.now += Duration::from_secs(2);
    let found = scene.find_with("a.css", both).unwrap();
    assert_eq!((whole(&found), found.info.coding), (&b"brotli"[..], Coding::Brotli));
    let found = scene.find_with("a.css", gzip).unwrap();
    assert_eq!((whole(&found), found.info.coding), (&b"gzip"[..], Coding::Gzip));
    // A variant alone is a file like any other, and no variant of nothing.
    scene.write("b.js.gz", b"only");
    assert_eq!(scene.find_with("b.js", gzip).unwrap_err(), FileError::NotFound);
    assert_eq!(scene.find("b.js.gz").unwrap().info.coding, Coding::Identity);
}

#[test]
fn a_large_file_comes_in_blocks_and_any_range_of_it() {
    let mut scene = Scene::new("large", LIMITS);
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|at| (at * 7 / 8) as u8).collect();
    scene.write("large", &bytes);
    let file = scene.find("large").unwrap();
    assert_eq!(scene.download(&file, 0..1_000_003).unwrap(), bytes);
    for range in [0..0, 0..1, 1_000_002..1_000_003, 65_535..65_537, 100_000..400_000] {
        let part = bytes[range.clone()].to_vec();
        let range = range.start as u64..range.end as u64;
        assert_eq!(scene.download(&file, range).unwrap(), part);
    }
}

#[test]
fn a_sparse_file_of_many_gigabytes_is_no_larger_than_a_block() {
    let mut scene = Scene::new("huge", LIMITS);
    let huge_bytes = 1_u64 << 40;
    let writer = fs::File::create(scene.path("huge")).unwrap();
    writer.set_len(huge_bytes).unwrap();
    let file = scene.find("huge").unwrap();
    assert_eq!(file.info.size_bytes(), huge_bytes);
    let end = scene.download(&file, huge_bytes - 100_000..huge_bytes).unwrap();
    assert_eq!(end, vec![0; 100_000]);
}

#[test]
fn a_file_that_is_changed_midway_ends_with_an_error_and_one_that_is_replaced_does_not() {
    let mut scene = Scene::new("change", LIMITS);
    for change in ["truncate", "append", "overwrite", "replace", "remove"] {
        scene.write("file", &vec![b'a'; 500_000]);
        let file = scene.find("file").unwrap();
        let mut download = Download::new(large(&file), 0..500_000);
        let mut got = scene.next_block(&mut download).unwrap().unwrap().to_vec();
        // What was modified in the same tick of the kernel's clock would have the same time.
        std::thread::sleep(Duration::from_millis(20));
        let open = || fs::OpenOptions::new().write(true).open(scene.path("file")).unwrap();
        match change {
            "truncate" => open().set_len(100_000).unwrap(),
            "overwrite" => open().write_all(&[b'b'; 500_000]).unwrap(),
            "append" => {
                let path = scene.path("file");
                let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
                file.write_all(b"more").unwrap();
            }
            "replace" => {
                scene.write("other", &vec![b'b'; 500_000]);
                fs::rename(scene.path("other"), scene.path("file")).unwrap();
            }
            _ => fs::remove_file(scene.path("file")).unwrap(),
        }
        let result = loop {
            match scene.next_block(&mut download) {
                Ok(Some(block)) => got.extend_from_slice(&block),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        assert!(got.iter().all(|byte| *byte == b'a'), "{change}: two contents were mixed");
        match change {
            "replace" | "remove" => {
                assert_eq!((result, got.len()), (Ok(()), 500_000), "{change}");
            }
            _ => assert_eq!(result, Err(FileError::Changed), "{change}"),
        }
    }
    assert!(scene.files.counters().changed >= 3);
}

#[test]
fn a_file_that_grows_is_read_as_it_was_when_it_was_opened() {
    let mut scene = Scene::new("grows", LIMITS);
    let storage = scene.storage.as_ref().expect("it runs");
    scene.root = storage.root_of_growing(scene.path("").as_path()).unwrap();
    scene.write("file", &vec![b'a'; 500_000]);
    let file = scene.find("file").unwrap();
    let mut download = Download::new(large(&file), 0..500_000);
    let mut got = scene.next_block(&mut download).unwrap().unwrap().to_vec();
    let path = scene.path("file");
    let mut writer = fs::OpenOptions::new().append(true).open(path).unwrap();
    writer.write_all(&[b'b'; 100_000]).unwrap();
    while let Some(block) = scene.next_block(&mut download).unwrap() {
        got.extend_from_slice(&block);
    }
    assert_eq!(got, vec![b'a'; 500_000]);
    assert_eq!(scene.find("file").unwrap().info.size_bytes(), 600_000);
    // Shorter is another matter.
    let mut download = Download::new(large(&file), 0..500_000);
    scene.next_block(&mut download).unwrap();
    writer.set_len(100_000).unwrap();
    let result = loop {
        match scene.next_block(&mut download) {
            Ok(Some(_)) => {}
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    assert_eq!(result, Err(FileError::Changed));
}

#[test]
fn a_thousand_at_once_are_all_answered_and_the_same_is_asked_once() {
    let mut scene = Scene::new("thousand", LIMITS);
    for at in 0..100 {
        scene.write(&format!("{at}"), format!("file {at}").as_bytes());
    }
    let (root, now) = (scene.root, scene.now);
    for tag in 0..1000 {
        let path = format!("{}", tag % 100);
        let asked = scene.files.find(now, root, &path, Codings::default(), tag);
        assert!(matches!(asked, Find::Asked), "{asked:?}");
    }
    let mut seen = vec![false; 1000];
    for _ in 0..1000 {
        let FileEvent::Found { tag, result } = scene.wait() else { panic!("no block was asked") };
        assert_eq!(whole(&result.unwrap()), format!("file {}", tag % 100).as_bytes());
        assert!(!std::mem::replace(&mut seen[tag as usize], true), "answered twice");
    }
    assert_eq!(scene.files.counters().questions, 100);
    assert!(scene.files.poll(now).is_none());
}

#[test]
fn reads_wait_for_their_bytes_to_be_dropped_and_lose_nothing() {
    let mut scene = Scene::new("budget", LIMITS);
    scene.write("large", &vec![7; 2_000_000]);
    let file = scene.find("large").unwrap();
    let large = large(&file);
    // 64 reads of 64 KiB are four times what may be held.
    for tag in 0..64 {
        scene.files.read(&large, tag * 1024, 65_536, tag).unwrap();
    }
    let mut held = Vec::new();
    for _ in 0..16 {
        let FileEvent::Block { result, .. } = scene.wait() else { panic!("a block was asked") };
        held.push(result.unwrap());
    }
    std::thread::sleep(Duration::from_millis(50));
    assert!(scene.files.poll(scene.now).is_none(), "more than the bound was read");
    let mut count = held.len();
    held.clear();
    while count < 64 {
        let FileEvent::Block { result, .. } = scene.wait() else { panic!("a block was asked") };
        assert_eq!(result.unwrap().len(), 65_536);
        count += 1;
    }
}

#[test]
fn too_many_questions_and_too_many_open_files_are_refused_and_room_comes_again() {
    let mut scene = Scene::new("limits", FileLimits { questions_max: 8, ..LIMITS });
    for at in 0..20 {
        scene.write(&format!("{at}"), &vec![0; 20_000]);
    }
    let (root, now) = (scene.root, scene.now);
    let mut asked_count = 0;
    for tag in 0..20 {
        match scene.files.find(now, root, &format!("{tag}"), Codings::default(), tag) {
            Find::Asked => asked_count += 1,
            Find::Refused(error) => assert_eq!(error, FileError::Busy),
            Find::Here(_) => panic!("large files are not cached"),
        }
    }
    assert_eq!(asked_count, 8);
    let mut open: Vec<File> = Vec::new();
    for _ in 0..8 {
        let FileEvent::Found { result, .. } = scene.wait() else { panic!("no block was asked") };
        open.push(result.unwrap());
    }
    for at in 8..16 {
        open.push(scene.find(&format!("{at}")).unwrap());
    }
    assert_eq!(scene.find("16").unwrap_err(), FileError::Busy, "sixteen are open");
    open.pop();
    assert!(scene.find("16").is_ok());
    assert!(scene.files.counters().refused >= 12);
}

#[test]
fn a_storage_that_stops_answers_everything() {
    let mut scene = Scene::new("stopped", LIMITS);
    scene.write("large", &vec![7; 2_000_000]);
    scene.write("small", b"small");
    let file = scene.find("large").unwrap();
    let large = large(&file);
    for tag in 0..64 {
        scene.files.read(&large, tag * 1024, 65_536, tag).unwrap();
    }
    let (root, now) = (scene.root, scene.now);
    let asked = scene.files.find(now, root, "small", Codings::default(), 64);
    assert!(matches!(asked, Find::Asked));
    scene.storage.take().unwrap().stop();
    let mut kept = Vec::new();
    for _ in 0..65 {
        match scene.wait() {
            FileEvent::Block { result: Ok(block), .. } => kept.push(block),
            FileEvent::Block { result: Err(error), .. } => assert_eq!(error, FileError::Stopped),
            FileEvent::Found { result, .. } => {
                assert_eq!(result.unwrap_err(), FileError::Stopped);
            }
        }
    }
    assert_eq!(scene.find("other").unwrap_err(), FileError::Stopped);
    assert_eq!(scene.files.read(&large, 0, 1, 0), Err(FileError::Stopped));
}

#[test]
fn a_shard_that_leaves_with_everything_asked_disturbs_nobody() {
    let mut scene = Scene::new("left", LIMITS);
    scene.write("large", &vec![7; 2_000_000]);
    let storage = scene.storage.take().unwrap();
    for _ in 0..20 {
        let port = storage.file_port(LIMITS, || {}).unwrap();
        let mut files = shards_storage::Files::new(port);
        for tag in 0..32 {
            let path = format!("large{}", if tag < 16 { "" } else { "-missing" });
            let _asked = files.find(scene.now, scene.root, &path, Codings::default(), tag);
        }
    }
    let begin = Instant::now();
    assert!(matches!(scene.find("large").unwrap().content, Content::Large(_)));
    assert!(begin.elapsed() < Duration::from_secs(60), "it hung");
    storage.stop();
}
