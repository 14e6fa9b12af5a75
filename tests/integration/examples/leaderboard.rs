//! examples/leaderboard.lua

use super::{Loaded, shown};

#[test]
fn points_add_up_and_the_highest_score_is_first() {
    let mut board = Loaded::start("leaderboard");
    assert_eq!(board.call("board_add 1 board ann 30"), "[30 1]");
    assert_eq!(board.call("board_add 1 board bob 50"), "[50 1]");
    assert_eq!(board.call("board_add 1 board ann 15.5"), "[45.5 2]");
    assert_eq!(board.call("board_add 1 board bob -10"), "[40 2]");
    assert_eq!(board.call("board_top 1 board 10"), "[[1 ann 45.5] [2 bob 40]]");
    assert_eq!(board.call("board_top 1 board 1"), "[[1 ann 45.5]]");
}

#[test]
fn a_record_keeps_the_better_score() {
    let mut board = Loaded::start("leaderboard");
    assert_eq!(board.call("board_record 1 board ann 30"), "[30 1]");
    assert_eq!(board.call("board_record 1 board ann 20"), "[30 1]");
    assert_eq!(board.call("board_record 1 board ann 40"), "[40 1]");
}

#[test]
fn neighbours_stand_around_a_member_up_to_the_ends() {
    let mut board = Loaded::start("leaderboard");
    for (member, score) in [("a", 5), ("b", 4), ("c", 3), ("d", 2), ("e", 1)] {
        board.call(&format!("board_add 1 board {member} {score}"));
    }
    assert_eq!(board.call("board_around 1 board c 1"), "[[2 b 4] [3 c 3] [4 d 2]]");
    assert_eq!(board.call("board_around 1 board a 1"), "[[1 a 5] [2 b 4]]");
    assert_eq!(board.call("board_around 1 board e 1"), "[[4 d 2] [5 e 1]]");
    assert_eq!(board.call("board_around 1 board c 0"), "[[3 c 3]]");
    assert_eq!(board.call("board_around 1 board nobody 5"), "[]");
}

#[test]
fn equal_scores_stand_in_reverse_alphabetical_order() {
    let mut board = Loaded::start("leaderboard");
    for member in ["b", "c", "a"] {
        board.call(&format!("board_add 1 board {member} 1"));
    }
    assert_eq!(board.call("board_top 1 board 3"), "[[1 c 1] [2 b 1] [3 a 1]]");
}

#[test]
fn reading_works_read_only_and_of_a_board_that_is_not_there() {
    let mut board = Loaded::start("leaderboard");
    assert_eq!(shown(&board.client.run("SHADOW.FCALL_RO board_top 1 none 1000")), "[]");
    assert_eq!(shown(&board.client.run("SHADOW.FCALL_RO board_around 1 none ann 1000")), "[]");
}

#[test]
fn wrong_arguments_are_refused() {
    let mut board = Loaded::start("leaderboard");
    for count in ["0", "-1", "1.5", "1001", "nan", "all"] {
        let reply = board.call(&format!("board_top 1 board {count}"));
        assert_eq!(reply, "-ERR count must be a whole number from 1 to 1000", "{count}");
    }
    for distance in ["-1", "1.5", "1001", "nan", "all"] {
        let reply = board.call(&format!("board_around 1 board ann {distance}"));
        assert_eq!(reply, "-ERR distance must be a whole number from 0 to 1000", "{distance}");
    }
    assert!(board.call("board_add 1 board ann many").starts_with("-ERR value is not a valid float"));
    assert!(board.call("board_record 1 board ann nan").starts_with("-ERR value is not a valid float"));
    assert_eq!(board.call("board_add 1 board ann"), "-ERR expected 1 key, member, points");
    assert_eq!(board.run("DBSIZE"), "0");
    board.run("SET board text");
    assert!(board.call("board_top 1 board 1").starts_with("-WRONGTYPE"));
}
