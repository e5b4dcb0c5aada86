"""The Cost page: what containers, images and volumes cost this machine, measured on it."""
