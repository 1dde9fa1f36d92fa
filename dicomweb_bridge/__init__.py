"""DICOMweb: the archive, DICOM JSON, ImagingStudy and the /dicom-web routes."""
