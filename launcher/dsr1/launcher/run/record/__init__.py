"""What has become of a run, kept in its folder for who looks later."""
