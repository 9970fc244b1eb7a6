//! Random runs, in which the process dies at every operation.

use super::*;

/// One life after another, everything going wrong that can.
fn run(seed: u64) {
    let world = World::new(seed);
    world.with(|inner| {
        inner.troubled = true;
        inner.crashes = true;
        inner.marks_listed = inner.random.one_in(2);
        inner.marks_in_details = inner.random.one_in(2);
        inner.lag_s = inner.random.below(16);
    });
    // As a task: what is not one has the runtime look at its timers between any two.
    let answered = runtime().block_on(async { tokio::spawn(lives(Arc::clone(&world))).await });
    let answered = answered.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    world.with(|inner| judge(seed, inner, &answered));
}

/// Returns the clicks that somebody was told of.
async fn lives(world: Arc<World>) -> Vec<Uuid> {
    let (mut current, mut process) = dialer(&world);
    let answers = Arc::new(Mutex::new(Vec::new()));
    let steps = 10 + world.with(|inner| inner.random.below(40));
    let tail = 60;
    for step in 0..steps + tail {
        let last = step >= steps;
        world.with(|inner| inner.crashes = !last);
        if world.with(|inner| inner.life) != process.life {
            (current, process) = dialer(&world);
            let risen = Arc::clone(&current);
            tokio::spawn(async move { risen.recover(true).await });
            world.settle().await;
        }
        let choice = world.with(|inner| inner.random.below(4));
        if choice < 2 && !last {
            let (key, to) = world.with(|inner| {
                let key = u8::try_from(inner.random.below(5)).expect("few");
                // Every key has its number; some have the same.
                (key, u64::from(key) / 2)
            });
            let (current, answers) = (Arc::clone(&current), Arc::clone(&answers));
            tokio::spawn(async move {
                if let Ok(click) = current.click(&wish(key, to)).await {
                    locked(&answers).push(click.id);
                }
            });
            world.settle().await;
        }
        let by = if last { 10 } else { world.with(|inner| inner.random.below(20)) };
        world.turn(seconds(by)).await;
        let sweeping = Arc::clone(&current);
        tokio::spawn(async move { sweeping.sweep().await.map(|_| ()) });
        world.settle().await;
        let told: Vec<(Uuid, String)> = world.with(|inner| {
            let now = inner.now;
            let due = inner.rung.iter_mut().filter(|call| call.told_at.is_some_and(|at| at <= now));
            due.map(|call| {
                let id = call.mark.as_deref().and_then(mark::read).expect("a mark");
                // Told by a process that dies is told again: the journal is read from where it was.
                if last {
                    call.told_at = None;
                }
                (id, call.sid.clone())
            })
            .collect()
        });
        for (id, sid) in told {
            let (process, now) = (process.clone(), world.now());
            tokio::spawn(async move { heard(&process, &metrics(), "acme1", id, &sid, now).await });
        }
        world.settle().await;
    }
    locked(&answers).clone()
}

fn judge(seed: u64, world: &Inner, answered: &[Uuid]) {
    for (id, dials) in &world.dials {
        assert!(*dials <= 1, "seed {seed}: {id} was dialled {dials} times");
    }
    for id in answered {
        assert!(world.clicks.contains_key(id), "seed {seed}: {id} was answered and is forgotten");
    }
    let mut keys: Vec<_> = world.clicks.values().map(|click| click.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), world.clicks.len(), "seed {seed}: two clicks of one key");
    for click in world.clicks.values() {
        let of_it = |call: &&Rung| call.mark.as_deref().and_then(mark::read) == Some(click.id);
        let rung: Vec<&str> = world.rung.iter().filter(of_it).map(|call| call.sid.as_str()).collect();
        match &click.state {
            ClickState::Placed { call_sid, .. } => assert_eq!(rung, [call_sid], "seed {seed}: {click:?}"),
            ClickState::Refused { .. } | ClickState::NotPlaced { .. } => {
                assert!(rung.is_empty(), "seed {seed}: {click:?} and {rung:?}");
            }
            ClickState::Unknown { .. } => {
                let marked = world.marks_listed || world.marks_in_details;
                let rivalled = world.clicks.values().any(|other| other.id != click.id && other.to == click.to);
                assert!(!marked && rivalled, "seed {seed}: {click:?} is never settled");
            }
            ClickState::Intended | ClickState::Dialling => panic!("seed {seed}: {click:?} is forgotten"),
        }
        let receipts = world.receipts.iter().filter(|one| one.path.ends_with(&click.id.to_string())).count();
        assert!(receipts <= 1, "seed {seed}: {click:?} has {receipts} receipts");
    }
}

/// On every processor: no run knows of another.
fn runs(count: u64) {
    let seed = std::env::var("PATCHBAY_SEED").ok().and_then(|text| text.parse().ok());
    let first: u64 = seed.unwrap_or_else(|| Timestamp::now().as_microsecond().unsigned_abs());
    println!("seeds from {first}");
    let (began, taken) = (Instant::now(), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(|| {
                loop {
                    let n = taken.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    run(first.wrapping_add(n));
                }
            });
        }
    });
    println!("{count} runs in {:.1} s", began.elapsed().as_secs_f64());
}

#[test]
fn nothing_is_dialled_twice_or_forgotten_in_4_000_runs() {
    runs(4_000);
}

/// The long run: `cargo test --lib -- --ignored 100_000 --nocapture`. `PATCHBAY_SEED` repeats one.
#[test]
#[ignore = "takes minutes: 100 000 runs"]
fn nothing_is_dialled_twice_or_forgotten_in_100_000_runs() {
    runs(100_000);
}
