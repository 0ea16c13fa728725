"""The errors of detections: scale, floor and the scatter of stars."""
