"""One file for each kind of source: stills, video, camera, the rendered junction; all give Samples at a pace."""
