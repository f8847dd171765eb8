"""The 15 corruptions of ImageNet-C and COCO-C, as functions, transforms and views of data sets."""
