//! The HTTP server as the service runs it: the one of actix-web, with one thing more, that a websocket's connection can be
//! taken over as it is.

use std::{io, net::TcpListener, rc::Rc, time::Duration};

use actix_codec::Framed;
use actix_http::{
    ConnectionType, HttpMessage, HttpService, Request, Response, StatusCode,
    body::{BoxBody, MessageBody},
    h1,
};
use actix_service::{IntoServiceFactory, ServiceFactory, ServiceFactoryExt as _, fn_factory, fn_service, map_config};
use actix_web::{
    App,
    dev::{AppConfig, Server, Service, ServiceResponse},
    http::KeepAlive,
    web::ServiceConfig,
};
use tokio::{net::TcpStream, time::timeout};

use crate::{config, voice::Takeover};

/// How long a connection without a request is kept.
const KEPT: Duration = Duration::from_secs(75);
/// How long a client may take to read the answer to its handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// The HTTP server as the service runs it, with what `routes` puts there; the benchmark measures others in it.
///
/// # Errors
/// When the socket cannot be listened on.
pub fn http_server<F>(config: &config::Server, listener: TcpListener, routes: F) -> io::Result<Server>
where
    F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
{
    let addr = listener.local_addr()?;
    let request_timeout = config.request_timeout;
    let server = Server::build()
        .workers(config.workers)
        .max_concurrent_connections(config.connections.div_ceil(config.workers))
        .shutdown_timeout(config.drain_timeout.as_secs().max(1))
        .disable_signals();
    let stopping = server.graceful_shutdown_signal();
    let server = server.listen("http", listener, move || {
        let stopping = stopping.clone();
        let routes = routes.clone();
        let app = {
            let routes = routes.clone();
            move || {
                let app = App::new().configure(&routes).into_factory();
                let app = app.map_err(|error: actix_web::Error| error.error_response());
                map_config(app, |()| AppConfig::default())
            }
        };
        let upgraded = app.clone();
        HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .keep_alive(KeepAlive::Timeout(KEPT))
            .client_request_timeout(request_timeout)
            .client_disconnect_timeout(Duration::from_secs(1))
            .local_addr(addr)
            .upgrade(fn_factory(move || {
                let app = upgraded().new_service(());
                async move {
                    let app = Rc::new(app.await?);
                    let taken = move |(request, framed)| Box::pin(upgrade(Rc::clone(&app), request, framed));
                    Ok::<_, ()>(fn_service(taken))
                }
            }))
            .finish(app())
            .tcp()
    })?;
    Ok(server.run())
}

/// Answers a request for a websocket by the routes, as any other. Then the connection is whose it was said to be, or over.
async fn upgrade<S>(app: Rc<S>, request: Request, framed: Framed<TcpStream, h1::Codec>) -> Result<(), actix_web::Error>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>>,
    S::Error: Into<Response<BoxBody>>,
{
    let takeover = Takeover::default();
    request.extensions_mut().insert(takeover.clone());
    let answer: Response<BoxBody> = app.call(request).await.map_or_else(Into::into, Into::into);
    let taker = takeover.taker().filter(|_| answer.status() == StatusCode::SWITCHING_PROTOCOLS);
    let (mut answer, body) = answer.into_parts();
    if taker.is_none() {
        // What follows on it was not looked at.
        answer.head_mut().set_connection_type(ConnectionType::Close);
    }
    // Whoever asks for a websocket where there is a stream of another kind is told the status alone.
    let answer = answer.set_body(body.try_into_bytes().unwrap_or_default());
    let Ok(sent) = timeout(PATIENCE, h1::SendResponse::new(framed, answer)).await else { return Ok(()) };
    let parts = sent?.into_parts();
    if let Some(taker) = taker {
        taker(parts.io, parts.read_buf).await;
    }
    Ok(())
}
