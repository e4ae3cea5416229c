//! The figures as an SVG: for each work a bar for each server, as long as its requests for each
//! CPU-second in relation to the best of that work.
//!
//! Colours follow the reader's preference for light or dark, also inside an `<img>`.

use super::peers::Peer;
use super::tables::{median, sorted, thousands};
use super::trial::Trial;
use super::works;

const WIDTH: f64 = 860.0;
const BAR: f64 = 16.0;
const STEP: f64 = 20.0;
const LABELS: f64 = 190.0;
/// Room behind the longest bar for its number.
const NUMBERS: f64 = 110.0;

const CAPTION: &str = "Requests for each CPU-second of the server, on one core: median, and a line \
                       from the least to the most of all rounds";

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}\
.title{font-weight:600}.number{fill:#59636e}\
.ours{fill:#0969da}.limit{fill:#8c959f}.peer{fill:#afb8c1}.range{stroke:#59636e;stroke-width:1.5}\
@media(prefers-color-scheme:dark){\
text{fill:#f0f6fc}.number{fill:#9198a1}\
.ours{fill:#4493f8}.limit{fill:#656c76}.peer{fill:#3d444d}.range{stroke:#9198a1}}";

/// Draws all works that were measured.
pub(crate) fn draw(trials: &[Trial]) -> String {
    let mut y = 14.0;
    let mut body = format!("<text class=\"number\" x=\"0\" y=\"{y}\">{CAPTION}</text>\n");
    y += 4.0;
    for work in works::ALL {
        let figures = |peer| sorted(trials, work.name, peer, |trial| trial.answers_per_cpu_second);
        let bars: Vec<(Peer, Vec<f64>)> = work
            .peers
            .iter()
            .map(|&peer| (peer, figures(peer)))
            .filter(|(_, values)| !values.is_empty())
            .collect();
        let best = bars.iter().filter_map(|(_, values)| values.last()).fold(0.0, |a, &b| b.max(a));
        if best <= 0.0 {
            continue;
        }
        y += STEP;
        body.push_str(&format!("<text class=\"title\" x=\"0\" y=\"{y}\">{}</text>\n", work.title));
        y += 8.0;
        let scale = (WIDTH - LABELS - NUMBERS) / best;
        for (peer, values) in bars {
            body.push_str(&bar(peer, &values, y, scale));
            y += STEP;
        }
        y += 6.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y:.0}\" role=\"img\" \
         aria-label=\"HTTP requests for each CPU-second of the server\">\n<style>{STYLE}</style>\n\
         {body}</svg>\n"
    )
}

fn bar(peer: Peer, values: &[f64], y: f64, scale: f64) -> String {
    let figure = median(values);
    let class = match peer {
        Peer::Serve => "ours",
        Peer::Bare => "limit",
        _ => "peer",
    };
    let (length, baseline, middle) = (figure * scale, y + 12.5, y + BAR / 2.0);
    let ends = [values[0], values[values.len() - 1]].map(|value| LABELS + value * scale);
    let number_at = ends[1].max(LABELS + length) + 6.0;
    format!(
        "<text x=\"{:.0}\" y=\"{baseline:.1}\" text-anchor=\"end\">{}</text>\
         <rect class=\"{class}\" x=\"{LABELS}\" y=\"{y:.1}\" width=\"{length:.1}\" \
         height=\"{BAR}\" rx=\"2\"/>\
         <line class=\"range\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\
         <text class=\"number\" x=\"{number_at:.0}\" y=\"{baseline:.1}\">{}</text>\n",
        LABELS - 8.0,
        peer.name(),
        ends[0],
        ends[1],
        thousands(figure),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Report;

    #[test]
    fn every_server_has_a_bar_inside_the_picture() {
        let trial = |peer, answers_per_cpu_second| Trial {
            work: "hello",
            peer,
            rate: 0,
            cpu_share: 1.0,
            answers_per_cpu_second,
            core_busy_percent: 100.0,
            core_stolen_percent: 0.0,
            report: Report::default(),
        };
        let svg = draw(&[trial(Peer::Serve, 150_000.0), trial(Peer::Go, 60_000.0)]);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(svg.contains(">150,000<") && svg.contains("class=\"ours\""));
        let widest = WIDTH - LABELS - NUMBERS;
        assert!(svg.contains(&format!("width=\"{widest:.1}\"")));
        assert!(!draw(&[]).contains("<rect"));
    }
}
