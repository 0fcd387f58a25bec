"""From a file to text with headings, and from there to chunks."""
