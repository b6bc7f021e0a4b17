// Classifies a few reviews: node build/client.js [TARGET]
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import * as grpc from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';

import type { ProtoGrpcType as ErrorDetailsTypes } from './generated/error_details.js';
import type { BadRequest__Output as BadRequest } from './generated/google/rpc/BadRequest.js';
import type { RetryInfo__Output as RetryInfo } from './generated/google/rpc/RetryInfo.js';
import type { Status__Output as Status } from './generated/google/rpc/Status.js';
import type { ProtoGrpcType as SentimentTypes } from './generated/sentiment.js';
import type { Classification__Output as Classification } from './generated/sentiment/v1/Classification.js';
import type { ClassifyStreamRequest } from './generated/sentiment/v1/ClassifyStreamRequest.js';
import type {
  ClassifyStreamResponse__Output as ClassifyStreamResponse,
} from './generated/sentiment/v1/ClassifyStreamResponse.js';
import type { SentimentServiceClient } from './generated/sentiment/v1/SentimentService.js';

const TIMEOUT = 10_000; // milliseconds for a call, its retries included
const FIRST_PAUSE = 50, LONGEST_PAUSE = 2_000; // milliseconds

// Seen from build/. The options are those that `npm run types` has, so that values are as their types say.
const INCLUDE = ['../../../../protos', '../node_modules/google-proto-files'];
const definition = protoLoader.loadSync(['sentiment/v1/sentiment.proto', 'google/rpc/error_details.proto'], {
  includeDirs: INCLUDE.map((folder) => fileURLToPath(new URL(folder, import.meta.url))),
  longs: Number, enums: String, defaults: true, oneofs: true, json: true,
});
const protos = grpc.loadPackageDefinition(definition) as unknown as SentimentTypes & ErrorDetailsTypes;

/** One review. Rejects with a grpc.ServiceError. */
function classify(client: SentimentServiceClient, text: string): Promise<Classification> {
  return retrying(new Date(Date.now() + TIMEOUT), (deadline) => new Promise((resolve, reject) => {
    client.Classify({ text }, { deadline }, (error, response) => {
      const classification = response?.classification;
      if (classification) resolve(classification);
      else reject(error ?? new Error('an empty answer'));
    });
  }));
}

/** Reviews as they come; answers as they are known, to be matched by `id`. */
function classifyStream(
  client: SentimentServiceClient, requests: ClassifyStreamRequest[],
): AsyncIterable<ClassifyStreamResponse> {
  const stream = client.ClassifyStream({ deadline: new Date(Date.now() + TIMEOUT) });
  for (const request of requests) stream.write(request);
  stream.end();
  return stream;
}

/** Calls, and calls again while that may help and the deadline allows. */
async function retrying<T>(deadline: Date, call: (deadline: Date) => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await call(deadline);
    } catch (error) {
      const pause = pauseBeforeRetry(error as grpc.ServiceError, attempt);
      if (pause === undefined || Date.now() + pause >= deadline.getTime()) throw error;
      await sleep(pause);
    }
  }
}

/**
 * Milliseconds to wait before the next try; undefined where none would help.
 *
 * A server that is away may be back after a random, growing pause. One whose queue is full says in RetryInfo how long
 * that will take; without it, RESOURCE_EXHAUSTED is a message too large for gRPC, and will be so again.
 */
function pauseBeforeRetry(error: grpc.ServiceError, attempt: number): number | undefined {
  const backoff = Math.random() * Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** attempt);
  if (error.code === grpc.status.UNAVAILABLE) return backoff;
  if (error.code !== grpc.status.RESOURCE_EXHAUSTED) return undefined;
  const delay = detail<RetryInfo>(statusOf(error), 'google.rpc.RetryInfo')?.retryDelay;
  return delay ? delay.seconds * 1e3 + delay.nanos / 1e6 + backoff : undefined;
}

/** The google.rpc.Status that came with an error. */
function statusOf(error: grpc.ServiceError): Status | undefined {
  const [packed] = error.metadata?.get('grpc-status-details-bin') ?? [];
  return packed instanceof Buffer ? protos.google.rpc.Status.deserialize(packed) : undefined;
}

/** The detail of one type, if the status has it. */
function detail<T>(status: Status | undefined, type: string): T | undefined {
  const url = `type.googleapis.com/${type}`;
  return status?.details.find((one) => '@type' in one && one['@type'] === url) as T | undefined;
}

/** What is wrong with a request, field by field, and else the message. */
function refusal(status: Status): string {
  const violations = detail<BadRequest>(status, 'google.rpc.BadRequest')?.fieldViolations;
  const fields = violations?.map(({ field, description }) => `${field} ${description}`).join('; ');
  return `refused ${grpc.status[status.code]}: ${fields || status.message}`;
}

/** An answer in one line. */
function line(answer: Classification): string {
  const sentiment = answer.sentiment === 'SENTIMENT_POSITIVE' ? 'positive' : 'negative';
  return `${sentiment} ${(100 * Number(answer.positiveProbability)).toFixed(1)}%`;
}

async function main(): Promise<void> {
  const target = process.argv[2] ?? 'localhost:50051';
  const client = new protos.sentiment.v1.SentimentService(target, grpc.credentials.createInsecure());

  for (const text of ['I loved every minute of it.', 'A complete waste of two hours.']) {
    console.log(line(await classify(client, text)), text);
  }

  const requests = [{ id: 'a', text: 'Lovely.' }, { id: 'b', text: ' ' }, { id: 'c', text: 'Dreadful.' }];
  for await (const { id, classification, error } of classifyStream(client, requests)) {
    console.log(id, classification ? line(classification) : error ? refusal(error) : 'an empty answer');
  }

  try {
    await classify(client, ' ');
  } catch (error) {
    const status = statusOf(error as grpc.ServiceError);
    if (!status) throw error;
    console.log(refusal(status));
  }
  client.close();
}

await main();
