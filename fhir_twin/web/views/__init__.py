"""What the page shows, as plain values made from a Run: pure, no HTML, no Flask. Templates only lay it out."""
