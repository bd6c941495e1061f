"""What `detection` and `keypoints` share: MTCNN's cascade, its pyramid, crops and boxes."""
