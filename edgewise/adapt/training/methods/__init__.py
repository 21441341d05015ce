"""Methods of test-time adaptation under one interface, a file for each family (`edgewise.adapt.method`)."""
