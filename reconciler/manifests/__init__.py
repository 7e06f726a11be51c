"""The files of one Revision in; a DesiredState, or every located error, out. Pure."""
