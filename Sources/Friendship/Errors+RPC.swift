// What a client is told of this module's errors. Failures of the database are mapped by ServiceKit.
import GRPCCore

extension FriendshipError: RPCErrorConvertible {
    var rpcErrorCode: RPCError.Code {
        switch self {
        case .invalid, .oneself: .invalidArgument
        case .noSuchUser, .noSuchRequest, .noSuchFriend: .notFound
        case .alreadyFriends: .alreadyExists
        }
    }

    var rpcErrorMessage: String {
        switch self {
        case .invalid(let violation): violation
        case .oneself: "nobody can be their own friend"
        case .noSuchUser: "no such user"
        case .alreadyFriends: "you are friends already"
        case .noSuchRequest: "no pending request of this id was sent to you"
        case .noSuchFriend: "no such friend"
        }
    }
}
