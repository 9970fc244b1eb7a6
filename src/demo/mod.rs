//! The main job with no account anywhere: the whole service, a sandbox of Freshdesk and a simulated Exotel in one
//! process, every call flow there is played through them, told call by call and verified.

mod paint;
mod stage;
mod tell;
mod verify;

use std::{
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
    time::Duration,
};

use jiff::Timestamp;
use patchbay_sandbox::freshdesk::{Agent, Contact, Conversation, Ticket};

use crate::{
    signal,
    simulate::{
        cast::{Instance, Pace},
        flow,
        play::{Answer, Player},
    },
    store::{CallFile, DeliveryState},
};

use paint::Paint;
use stage::Stage;

/// A minute of a call passes in a second.
const SPEED: f64 = 60.0;
/// Until everything must be settled. Generous: the machine may be busy; usually it takes four seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(40);

/// Runs the demo; `once`: verify, and end.
pub async fn run(once: bool, listen: SocketAddr) -> ExitCode {
    let paint = Paint::of_terminal();
    let played = tokio::select! {
        played = perform(listen, paint) => played,
        () = signal::wait() => return ExitCode::FAILURE,
    };
    let (stage, scene, deviations) = match played {
        Ok(played) => played,
        Err(error) => {
            eprintln!("patchbay demo: {error}");
            return ExitCode::FAILURE;
        }
    };
    if !once {
        say(&tell::afterwards(&stage, &scene, paint));
        signal::wait().await;
    }
    stage.strike().await;
    if once && !deviations.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Everything that is to be told and verified, as it stood when all was settled.
#[derive(Debug)]
struct Scene {
    /// When the playing began.
    began: Timestamp,
    calls: Vec<Act>,
    tickets: Vec<Ticket>,
    contacts: Vec<Contact>,
    agents: Vec<Agent>,
    set_aside: u64,
    /// What was not settled in time.
    unsettled: Vec<String>,
}

/// One call.
#[derive(Debug)]
struct Act {
    played: Instance,
    answers: Vec<Answer>,
    file: Option<CallFile>,
    /// With their notes. There should be one.
    tickets: Vec<(Ticket, Vec<Conversation>)>,
}

async fn perform(listen: SocketAddr, paint: Paint) -> Result<(Stage, Scene, Vec<String>), String> {
    let flows = flow::flows().map_err(|error| error.to_string())?;
    let stage = Stage::set(listen).await?;
    let player = Player::new(stage.target()?)?;
    say(&tell::before(&stage, flows.len(), paint));
    let began = Timestamp::now();
    let pace = Pace { begins: began, speed: SPEED };
    let calls: Vec<Instance> = flows.iter().enumerate().map(|(at, flow)| stage.cast(at, flow, pace)).collect();
    stage.exotel.with(|exotel| calls.iter().for_each(|call| exotel.add_call(call.call.clone())));
    let answers = player.play(&calls).await;
    let unsettled = settle(&stage, &calls).await?;
    let scene = look(&stage, began, calls.into_iter().zip(answers), unsettled).await?;
    let deviations = verify::all(&stage, &scene).await;
    say(&tell::scene(&scene, paint));
    say(&tell::verdict(&scene, &deviations, paint));
    Ok((stage, scene, deviations))
}

/// Waits until nothing is left to do for any call. Returns what was left when patience ended.
async fn settle(stage: &Stage, calls: &[Instance]) -> Result<Vec<String>, String> {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left = unsettled(stage, calls).await?;
        if left.is_empty() || tokio::time::Instant::now() >= give_up {
            return Ok(left);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn unsettled(stage: &Stage, calls: &[Instance]) -> Result<Vec<String>, String> {
    let store = &stage.service.services.store;
    let unread = store.depths().await.map_err(|error| error.to_string())?.unread_receipts;
    let mut left = Vec::new();
    if unread > 0 {
        left.push(format!("{unread} callbacks are stored and not read yet"));
    }
    for call in calls {
        let name = &call.title;
        let Some(file) = stage.file(call).await? else {
            left.push(format!("{name}: Patchbay does not know the call yet"));
            continue;
        };
        if file.call.enquiry.is_some_and(|enquiry| enquiry.due_at.is_some()) {
            left.push(format!("{name}: Exotel is still to be asked for details"));
        }
        for delivery in &file.deliveries {
            if matches!(delivery.state, DeliveryState::Pending | DeliveryState::Inflight) {
                let reason = delivery.reason.as_deref().unwrap_or("its turn has not come");
                left.push(format!("{name}: its {} is not delivered yet ({reason})", delivery.kind.as_str()));
            }
        }
    }
    Ok(left)
}

async fn look(
    stage: &Stage,
    began: Timestamp,
    played: impl Iterator<Item = (Instance, Vec<Answer>)>,
    unsettled: Vec<String>,
) -> Result<Scene, String> {
    let (tickets, contacts, agents) = stage.freshdesk.with(|desk| {
        let tickets: Vec<Ticket> = desk.tickets().cloned().collect();
        (tickets, desk.contacts().cloned().collect(), desk.agents().cloned().collect())
    });
    let mut calls = Vec::new();
    for (played, answers) in played {
        let of_call = tickets.iter().filter(|ticket| ticket.description.contains(&played.cast.call_sid));
        let tickets = of_call
            .map(|ticket| {
                let notes = stage.freshdesk.with(|desk| desk.conversations(ticket.id).to_vec());
                (ticket.clone(), notes)
            })
            .collect();
        let file = stage.file(&played).await?;
        calls.push(Act { played, answers, file, tickets });
    }
    let depths = stage.service.services.store.depths().await.map_err(|error| error.to_string())?;
    Ok(Scene { began, calls, tickets, contacts, agents, set_aside: depths.set_aside, unsettled })
}

/// Writes to stdout. That nobody reads any more (`patchbay demo | head`) is no reason to fail.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
