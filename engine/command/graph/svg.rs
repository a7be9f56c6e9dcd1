//! The graph as a picture.

use super::picture::{Mark, Picture};
use layout_rs::backends::svg::SVGWriter;
use layout_rs::core::base::Orientation;
use layout_rs::core::color::Color;
use layout_rs::core::geometry::Point;
use layout_rs::core::style::{LineStyleKind, StyleAttr};
use layout_rs::std_shapes::shapes::{Arrow, Element, LineEndKind, ShapeKind};
use layout_rs::topo::layout::VisualGraph;

/// Pixels.
const FONT: usize = 15;

/// One SVG document. The same picture gives the same bytes.
pub(super) fn draw(picture: &Picture) -> String {
    let mut graph = VisualGraph::new(Orientation::TopToBottom);
    let handles: Vec<_> = picture
        .nodes
        .iter()
        .map(|node| {
            let sign = if node.mark == Mark::Same { String::new() } else { format!("{} ", node.mark.sign()) };
            let lines = [format!("{sign}{}", node.name), node.does.clone()];
            // About as wide as its letters are.
            let widest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
            let size = Point::new(f64::from(u32::try_from(widest).unwrap_or(u32::MAX)) * 8.5 + 24., 54.);
            let look = look(node.mark);
            graph.add_node(Element::create(ShapeKind::new_box(&lines.join("\n")), look, Orientation::TopToBottom, size))
        })
        .collect();
    if let Some((mark, words)) = picture.remark() {
        let text = format!("{} {words}", mark.sign());
        let size = Point::new(f64::from(u32::try_from(text.chars().count()).unwrap_or(u32::MAX)) * 8.5 + 24., 36.);
        graph.add_node(Element::create(ShapeKind::new_box(&text), look(mark), Orientation::TopToBottom, size));
    }
    for (from, to, mark) in &picture.edges {
        let style = if *mark == Mark::Removed { LineStyleKind::Dashed } else { LineStyleKind::Normal };
        let arrow = Arrow::new(LineEndKind::None, LineEndKind::Arrow, style, "", &look(*mark), &None, &None);
        graph.add_edge(arrow, handles[*from], handles[*to]);
    }
    let mut writer = SVGWriter::new();
    graph.do_it(false, false, false, &mut writer);
    let drawn = writer.finalize();
    // For who cannot see it, and in the window's title. The writer's own font is one of books.
    let title = escaped(&picture.title);
    let named = drawn.replacen("<defs>", &format!("<title>{title}</title>\n<defs>"), 1);
    named.replace("font-family: Times, serif", "font-family: Helvetica, Arial, sans-serif")
}

fn look(mark: Mark) -> StyleAttr {
    let (fill, line) = mark.colours();
    let width = if mark == Mark::Same { 1 } else { 2 };
    StyleAttr::new(Color::fast(line), width, Some(Color::fast(fill)), 4, FONT)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
