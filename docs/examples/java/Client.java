import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.BadRequest.FieldViolation;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.List;
import java.util.concurrent.TimeUnit;
import sentiment.v1.SentimentOuterClass.Classification;
import sentiment.v1.SentimentOuterClass.ClassifyRequest;
import sentiment.v1.SentimentServiceGrpc;
import sentiment.v1.SentimentServiceGrpc.SentimentServiceBlockingStub;

/** Classifies reviews, and shows what a refusal says: docs/clients.md has the commands. Usage: Client [TARGET] */
public final class Client {
    public static void main(String[] arguments) throws InvalidProtocolBufferException {
        String target = arguments.length > 0 ? arguments[0] : "localhost:50051";
        ManagedChannel channel = ManagedChannelBuilder.forTarget(target).usePlaintext().build();
        SentimentServiceBlockingStub stub = SentimentServiceGrpc.newBlockingStub(channel);
        try {
            for (String text : List.of("I loved every minute of it.", "A complete waste of two hours.", " ")) {
                System.out.println(classify(stub, text));
            }
        } finally {
            channel.shutdownNow();
        }
    }

    /** The answer in one line, or what to change. */
    private static String classify(SentimentServiceBlockingStub stub, String text)
            throws InvalidProtocolBufferException {
        ClassifyRequest request = ClassifyRequest.newBuilder().setText(text).build();
        try {
            Classification answer =
                    stub.withDeadlineAfter(10, TimeUnit.SECONDS).classify(request).getClassification();
            return String.format(
                    "%s %.1f%% %s", answer.getSentiment(), 100 * answer.getPositiveProbability(), text);
        } catch (StatusRuntimeException error) {
            return refusal(error);
        }
    }

    /** The status code with its message or, of an invalid request, the field to change. */
    private static String refusal(StatusRuntimeException error) throws InvalidProtocolBufferException {
        String code = error.getStatus().getCode().toString();
        for (Any detail : StatusProto.fromThrowable(error).getDetailsList()) {
            if (detail.is(BadRequest.class)) {
                FieldViolation violation = detail.unpack(BadRequest.class).getFieldViolations(0);
                return code + ": " + violation.getField() + " " + violation.getDescription();
            }
        }
        return code + ": " + error.getStatus().getDescription();
    }
}
