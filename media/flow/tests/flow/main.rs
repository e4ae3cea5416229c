//! The flow of media: edges against a model, the graph's life, random graphs.

mod edge;
mod lab;
mod life;
mod ownership;
mod pace;
mod plan;
mod random;
