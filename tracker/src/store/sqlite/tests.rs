use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use super::*;
use crate::refusal::Refusal;

/// Remembers what it was told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Mirror for Told {
    fn apply(&self, change: Change) {
        if let Change::Account(row) = change {
            self.0.lock().unwrap().push(row.username);
        }
    }
}

fn store() -> (tempfile::TempDir, Arc<Told>, SqliteStore) {
    let dir = tempfile::tempdir().unwrap();
    let told = Arc::new(Told::default());
    let store = SqliteStore::open(
        &dir.path().join("t.db"),
        Arc::clone(&told) as Arc<dyn Mirror>,
    )
    .unwrap();
    (dir, told, store)
}

fn account(name: &str) -> NewAccount {
    NewAccount {
        username: name.to_owned(),
        password_hash: "x".repeat(9_000),
        admin: false,
        invite: None,
        now: 1,
    }
}

#[tokio::test]
async fn a_refused_write_takes_nothing_else_of_its_batch_down() {
    let (_dir, told, store) = store();
    // The writer is busy while these queue up, so that they share a commit.
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let busy = store.write(move |_, _| wait.recv().map_err(|_| StoreError::Stopped));
    let writes = ["ann", "ann", "bob"].map(|name| store.create_account(account(name)));
    let undone = store.write(|db, _| {
        db.execute("DELETE FROM accounts", [])?;
        Err::<(), _>(Refusal::not_found("changed my mind", "nothing").into())
    });
    let last = store.create_account(account("carl"));
    go.send(()).unwrap();
    busy.await.unwrap();
    let mut results = Vec::new();
    for write in writes {
        results.push(write.await.is_ok());
    }
    assert_eq!(results, [true, false, true]);
    assert!(undone.await.is_err());
    last.await.unwrap();
    let rows = store.read(|db| {
        Ok(db.query_row("SELECT count(*) FROM accounts", [], |row| {
            row.get::<_, u32>(0)
        })?)
    });
    assert_eq!(rows.await.unwrap(), 3);
    assert_eq!(
        *told.0.lock().unwrap(),
        ["ann", "bob", "carl"],
        "the mirror hears what was committed, in order"
    );
}

#[tokio::test]
async fn a_full_disk_fails_the_write_and_the_next_one_works() {
    let (_dir, told, store) = store();
    let limit = |pages: u32| {
        store.write(move |db, _| {
            Ok(db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?)
        })
    };
    let pages = store
        .read(|db| Ok(db.query_row("PRAGMA page_count", [], |row| row.get::<_, u32>(0))?))
        .await
        .unwrap();
    limit(pages + 1).await.unwrap();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let busy = store.write(move |_, _| wait.recv().map_err(|_| StoreError::Stopped));
    let writes: Vec<_> = (0..5)
        .map(|n| store.create_account(account(&format!("user{n}"))))
        .collect();
    go.send(()).unwrap();
    // It may have shared the commit that failed.
    let _ = busy.await;
    let mut kept = 0;
    for write in writes {
        match write.await {
            Ok(_) => kept += 1,
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error}"),
        }
    }
    let count = || {
        store.read(|db| {
            Ok(db.query_row("SELECT count(*) FROM accounts", [], |row| {
                row.get::<_, u32>(0)
            })?)
        })
    };
    assert_eq!(count().await.unwrap(), kept);
    assert_eq!(told.0.lock().unwrap().len(), kept as usize);
    limit(1_000_000).await.unwrap();
    store.create_account(account("ann")).await.unwrap();
    assert_eq!(count().await.unwrap(), kept + 1);
}

#[tokio::test]
async fn a_backup_holds_what_was_committed_and_work_goes_on() {
    let (dir, _, store) = store();
    for n in 0..50 {
        store
            .create_account(account(&format!("user{n}")))
            .await
            .unwrap();
    }
    let copy = dir.path().join("copy.db");
    let backup = store.backup(copy.clone());
    let write = store.create_account(account("late"));
    backup.await.unwrap();
    write.await.unwrap();
    let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "password hashes are in it");
    let told = Arc::new(Told::default());
    SqliteStore::open(&copy, Arc::clone(&told) as Arc<dyn Mirror>).unwrap();
    assert!(told.0.lock().unwrap().len() >= 50);
}

#[tokio::test]
async fn a_backup_that_nobody_waits_for_leaves_nothing() {
    let (dir, _, store) = store();
    let copy = dir.path().join("copy.db");
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let busy = store.write(move |_, _| wait.recv().map_err(|_| StoreError::Stopped));
    drop(store.backup(copy.clone()));
    go.send(()).unwrap();
    busy.await.unwrap();
    store.close().await.unwrap();
    assert!(!copy.exists());
}

#[tokio::test]
async fn a_writer_that_died_is_not_ready() {
    let (_dir, _, store) = store();
    let died = store.write(|_, _| -> Result<(), StoreError> { panic!("for a test") });
    assert!(matches!(died.await, Err(StoreError::Stopped)));
    assert!(matches!(store.ready().await, Err(StoreError::Stopped)));
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let (_dir, _, store) = store();
    store.close().await.unwrap();
    assert!(matches!(
        store.create_account(account("ann")).await,
        Err(StoreError::Stopped)
    ));
    assert!(matches!(store.ready().await, Err(StoreError::Stopped)));
}

#[tokio::test]
async fn a_read_that_takes_too_long_is_broken_off_and_the_next_one_is_answered() {
    let db = Connection::open_in_memory().unwrap();
    let patience = Duration::from_millis(20);
    let readers = super::threads::Readers::start(vec![db], patience).unwrap();
    let ask = |sql: &'static str| {
        readers.read(move |db| Ok(db.query_row(sql, [], |row| row.get::<_, i64>(0))?))
    };
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let ended = ask(endless).unwrap().await.unwrap();
    assert!(matches!(ended, Err(StoreError::TooLong)), "{ended:?}");
    assert_eq!(ask("SELECT 7").unwrap().await.unwrap().unwrap(), 7);
}
