//! `rsmoe` says what is in remote-sensing imagery.
