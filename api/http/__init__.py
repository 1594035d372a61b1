"""What goes over HTTP: bodies in and out, errors, cursors, repeats, and the OpenAPI document."""
