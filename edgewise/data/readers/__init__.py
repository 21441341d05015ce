"""Readers of labels: COCO, Pascal VOC, YOLO and class folders, from a folder or a tar, all into one Labelled form."""
