//! What is answered in plain text beside JSON-RPC: `GET /health` and `GET /metrics`.

use {
    crate::context::{Context, Health},
    jsonrpsee::server::{HttpBody, HttpRequest, HttpResponse},
    std::{
        future::Future,
        pin::Pin,
        sync::Arc,
        task::{Context as TaskContext, Poll},
    },
    tower::{Layer, Service},
};

/// The pages, by what makes them.
#[derive(Clone)]
pub struct Pages {
    health: Arc<dyn Fn() -> Health + Send + Sync>,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl Pages {
    pub fn of(context: &Context) -> Self {
        Self { health: context.health.clone(), metrics: context.metrics.clone() }
    }

    fn page(&self, path: &str) -> Option<String> {
        match path {
            "/health" => Some(
                match (self.health)() {
                    Health::Ok => "ok",
                    Health::Behind { .. } => "behind",
                    Health::Unknown => "unknown",
                }
                .to_owned(),
            ),
            "/metrics" => Some((self.metrics)()),
            _ => None,
        }
    }
}

#[derive(Clone)]
pub struct PagesLayer(pub Pages);

impl<S> Layer<S> for PagesLayer {
    type Service = PagesService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        PagesService { inner, pages: self.0.clone() }
    }
}

#[derive(Clone)]
pub struct PagesService<S> {
    inner: S,
    pages: Pages,
}

impl<S, B> Service<HttpRequest<B>> for PagesService<S>
where
    S: Service<HttpRequest<B>, Response = HttpResponse>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = HttpResponse;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        if request.method() == hyper::Method::GET
            && let Some(text) = self.pages.page(request.uri().path())
        {
            return Box::pin(async move { Ok(HttpResponse::new(HttpBody::from(text))) });
        }
        Box::pin(self.inner.call(request))
    }
}
